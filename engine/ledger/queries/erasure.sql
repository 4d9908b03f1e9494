-- name: now
SELECT now();

-- name: chunks
SELECT r.upload_id, r.chunk_no
FROM recipient_chunks r
JOIN uploads u USING (upload_id)
WHERE r.data IS NOT NULL AND ($1::uuid IS NULL OR u.workspace_id = $1)
ORDER BY r.upload_id, r.chunk_no;

-- name: chunk
SELECT data FROM recipient_chunks WHERE upload_id = $1 AND chunk_no = $2;

-- name: lock_uploads
-- No campaign is made of them meanwhile.
SELECT upload_id FROM uploads WHERE upload_id = ANY ($1::uuid[]) ORDER BY upload_id FOR UPDATE;

-- name: in_use
SELECT 'campaign ' || c.campaign_id || ' (' || c.state || ')' AS "user"
FROM campaigns c
WHERE c.upload_id = ANY ($1::uuid[])
  AND (c.state IN ('Pending', 'Sending', 'Paused')
       OR EXISTS (SELECT FROM slices s WHERE s.campaign_id = c.campaign_id AND s.state = 'open')
       OR EXISTS (SELECT FROM slices s JOIN claims k USING (slice_id)
                  WHERE s.campaign_id = c.campaign_id AND k.closed_at IS NULL))
UNION ALL
SELECT 'recipient file ' || u.upload_id || ' (no campaign yet)'
FROM uploads u
WHERE u.upload_id = ANY ($1::uuid[])
  AND u.state IN ('open', 'complete')
  AND NOT EXISTS (SELECT FROM campaigns c WHERE c.upload_id = u.upload_id)
UNION ALL
SELECT 'test message ' || t.test_id
FROM test_messages t
WHERE t.msisdn = $2::text::bigint AND t.state IN ('queued', 'claimed') AND $3::uuid IS NULL
ORDER BY 1;

-- name: rewrite
-- digest stays what was sealed.
UPDATE recipient_chunks SET data = $3, data_digest = $4 WHERE upload_id = $1 AND chunk_no = $2;

-- name: end_uploads
-- It is not what was approved any more: no campaign is made of it.
UPDATE uploads SET state = 'discarded', reason = 'a number was erased from it'
WHERE upload_id = ANY ($1::uuid[]) AND state <> 'discarded';

-- name: submissions
UPDATE submissions SET msisdn = NULL
WHERE msisdn = $1::text::bigint
  AND ($2::uuid IS NULL OR EXISTS (SELECT FROM slices s JOIN campaigns c USING (campaign_id)
                              WHERE s.slice_id = submissions.slice_id AND c.workspace_id = $2));

-- name: messages_done
UPDATE messages_done SET msisdn = NULL
WHERE msisdn = $1::text::bigint
  AND ($2::uuid IS NULL OR EXISTS (SELECT FROM slices s JOIN campaigns c USING (campaign_id)
                              WHERE s.slice_id = messages_done.slice_id AND c.workspace_id = $2));

-- name: doubts
UPDATE doubts SET msisdn = NULL
WHERE msisdn = $1::text::bigint
  AND ($2::uuid IS NULL OR EXISTS (SELECT FROM slices s JOIN campaigns c USING (campaign_id)
                              WHERE s.slice_id = doubts.slice_id AND c.workspace_id = $2));

-- name: orphan_receipts
UPDATE orphan_receipts
SET msisdn = CASE WHEN msisdn = $1::text::bigint THEN 0 ELSE msisdn END,
    source = CASE WHEN position($1::text IN source) > 0 THEN '' ELSE source END
WHERE msisdn = $1::text::bigint OR position($1::text IN source) > 0;

-- name: inbound
-- What the person wrote goes too.
UPDATE inbound
SET source = CASE WHEN position($1::text IN source) > 0 THEN '' ELSE source END,
    destination = CASE WHEN position($1::text IN destination) > 0 THEN '' ELSE destination END,
    body = '', pdu = ''
WHERE position($1::text IN source) > 0 OR position($1::text IN destination) > 0 OR position($1::text IN body) > 0
   OR position(convert_to($1::text, 'UTF8') IN pdu) > 0;

-- name: test_messages
UPDATE test_messages SET msisdn = 0, body = '' WHERE msisdn = $1::text::bigint;

-- name: traces
UPDATE traces SET msisdn = NULL WHERE msisdn = $1::text::bigint;

-- name: trace_pdus
DELETE FROM trace_pdus WHERE position($1::text IN body::text) > 0;

-- name: job_errors
UPDATE job_errors SET detail = 'erased'
WHERE position($1::text IN regexp_replace(detail, '[^0-9]', '', 'g')) > 0
  AND ($2::uuid IS NULL
       OR EXISTS (SELECT FROM uploads u WHERE u.upload_id = job_errors.upload_id AND u.workspace_id = $2)
       OR EXISTS (SELECT FROM campaigns c WHERE c.campaign_id = job_errors.campaign_id AND c.workspace_id = $2));

-- name: decisions
UPDATE decisions SET answer = replace(answer::text, $1::text, '0')::jsonb WHERE position($1::text IN answer::text) > 0;

-- name: record
INSERT INTO erasures (erasure_id, number_hash, reason, requested_at, done_at, erased)
VALUES ($1, $2, $3, $4, clock_timestamp(), $5::text::jsonb)
RETURNING done_at;

-- name: listed
SELECT erasure_id, number_hash, reason, requested_at, done_at, erased::text AS erased
FROM erasures
ORDER BY requested_at DESC, erasure_id
LIMIT $1;
