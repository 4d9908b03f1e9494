-- name: submissions
SELECT c.campaign_id, x.sent_at AS at, x.slice_id, x.row_no, x.part, x.attempt, x.outcome, x.status, x.smsc_id, x.responded_at
FROM submissions x
JOIN slices s USING (slice_id)
JOIN campaigns c USING (campaign_id)
WHERE x.msisdn = $1::text::bigint AND ($2::uuid IS NULL OR c.workspace_id = $2)
ORDER BY x.slice_id, x.row_no, x.part, x.attempt
LIMIT $3;

-- name: receipts
-- They have no number: they hang on the message, and stay without it.
SELECT DISTINCT c.campaign_id, r.received_at AS at, r.slice_id, r.row_no, r.part, r.verdict, r.stat, r.error
FROM submissions x
JOIN receipts r USING (slice_id, row_no, part)
JOIN slices s USING (slice_id)
JOIN campaigns c USING (campaign_id)
WHERE x.msisdn = $1::text::bigint AND ($2::uuid IS NULL OR c.workspace_id = $2)
ORDER BY r.slice_id, r.row_no, r.part, r.received_at
LIMIT $3;

-- name: messages_done
SELECT c.campaign_id, x.sent_at AS at, x.slice_id, x.row_no, x.state, x.parts, x.done_at
FROM messages_done x
JOIN slices s USING (slice_id)
JOIN campaigns c USING (campaign_id)
WHERE x.msisdn = $1::text::bigint AND ($2::uuid IS NULL OR c.workspace_id = $2)
ORDER BY x.slice_id, x.row_no
LIMIT $3;

-- name: doubts
SELECT c.campaign_id, x.doubted_at AS at, x.slice_id, x.row_no, x.part, x.reason, x.decision
FROM doubts x
JOIN slices s USING (slice_id)
JOIN campaigns c USING (campaign_id)
WHERE x.msisdn = $1::text::bigint AND ($2::uuid IS NULL OR c.workspace_id = $2)
ORDER BY x.slice_id, x.row_no, x.part
LIMIT $3;

-- name: job_errors
SELECT j.campaign_id, j.happened_at AS at, j.line_no, j.code, j.detail
FROM job_errors j
WHERE position($1::text IN regexp_replace(j.detail, '[^0-9]', '', 'g')) > 0
  AND ($2::uuid IS NULL
       OR EXISTS (SELECT FROM uploads u WHERE u.upload_id = j.upload_id AND u.workspace_id = $2)
       OR EXISTS (SELECT FROM campaigns c WHERE c.campaign_id = j.campaign_id AND c.workspace_id = $2))
ORDER BY j.job_error_id
LIMIT $3;

-- name: orphan_receipts
SELECT received_at AS at, smsc_id, source, verdict, stat, error
FROM orphan_receipts
WHERE msisdn = $1::text::bigint OR position($1::text IN source) > 0
ORDER BY orphan_id
LIMIT $2;

-- name: inbound
SELECT received_at AS at, source, destination, body
FROM inbound
WHERE position($1::text IN source) > 0 OR position($1::text IN destination) > 0 OR position($1::text IN body) > 0
   OR position(convert_to($1::text, 'UTF8') IN pdu) > 0
ORDER BY inbound_id
LIMIT $2;

-- name: test_messages
SELECT requested_at AS at, sender, body, state FROM test_messages WHERE msisdn = $1::text::bigint ORDER BY requested_at LIMIT $2;

-- name: traces
SELECT started_at AS at, scope, ends_at FROM traces WHERE msisdn = $1::text::bigint ORDER BY trace_id LIMIT $2;

-- name: trace_pdus
SELECT at, body::text AS pdu FROM trace_pdus WHERE position($1::text IN body::text) > 0 ORDER BY pdu_id LIMIT $2;

-- name: decisions
SELECT command FROM decisions WHERE position($1::text IN answer::text) > 0 ORDER BY decision_id LIMIT $2;

-- name: file
SELECT u.file_name, u.created_at, (SELECT c.campaign_id FROM campaigns c WHERE c.upload_id = u.upload_id
                                   ORDER BY c.created_at DESC LIMIT 1) AS campaign_id
FROM uploads u
WHERE u.upload_id = $1;
