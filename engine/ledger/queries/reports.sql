-- name: series
-- A correction takes back in a later bucket: no bucket is shown below zero.
SELECT bucket AS at, greatest(sum(sent), 0)::bigint AS sent, greatest(sum(delivered), 0)::bigint AS delivered,
       greatest(sum(failed), 0)::bigint AS failed
FROM campaign_series
WHERE campaign_id = $1
GROUP BY bucket
ORDER BY bucket;

-- name: message_errors
SELECT context, code, sum(count)::bigint AS count, max(last_at) AS last_at
FROM message_errors
WHERE campaign_id = $1
GROUP BY context, code
ORDER BY count DESC, context, code;

-- name: upload_of
SELECT upload_id FROM campaigns WHERE campaign_id = $1;

-- name: has_upload
SELECT EXISTS (SELECT FROM uploads WHERE upload_id = $1);

-- name: job_error_counts
SELECT code, sum(count)::bigint AS count
FROM (
    SELECT code, count FROM job_error_counts WHERE upload_id = $1
    UNION ALL
    SELECT code, count(*) FROM job_errors WHERE campaign_id = $2 AND upload_id IS NULL GROUP BY code
) c
GROUP BY code
ORDER BY code;

-- name: job_errors
SELECT job_error_id, line_no, code, detail, happened_at
FROM job_errors
WHERE (upload_id = $1 OR campaign_id = $2) AND job_error_id > $3
ORDER BY job_error_id
LIMIT $4;

-- name: campaign
SELECT upload_id, state, settled_at IS NOT NULL AS settled FROM campaigns WHERE campaign_id = $1;

-- name: slice_at
-- The slice that holds the next row: this one, or the one after it.
SELECT slice_id, chunk_no, row_start, row_count, claimed_to
FROM slices
WHERE campaign_id = $1
  AND origin_slice_id IS NULL
  AND (slice_id > $2 OR (slice_id = $2 AND row_count > $3))
ORDER BY slice_id
LIMIT 1;

-- name: chunk
SELECT data FROM recipient_chunks WHERE upload_id = $1 AND chunk_no = $2;

-- name: messages
WITH evidence AS (
    SELECT row_no, part, parts, outcome, attempt, status, msisdn, sent_at, responded_at, NULL::text AS doubt,
           0::smallint AS verdict, NULL::smallint AS stat, NULL::text AS error, NULL::timestamptz AS received_at
    FROM submissions
    WHERE slice_id = $1 AND row_no >= $2 AND row_no < $3
    UNION ALL
    SELECT row_no, part, parts, -1, attempt, NULL, NULL, NULL, NULL, reason, 0, NULL, NULL, NULL
    FROM doubts
    WHERE slice_id = $1 AND row_no >= $2 AND row_no < $3
    UNION ALL
    SELECT row_no, part, 0, -1, 0, NULL, NULL, NULL, NULL, NULL, verdict, stat, error, received_at
    FROM receipts
    WHERE slice_id = $1 AND row_no >= $2 AND row_no < $3
), part_rows AS (
    SELECT row_no, part, max(parts) AS parts, max(attempt) AS attempt, max(msisdn) AS msisdn,
           bool_or(outcome = 0) AS accepted, bool_or(outcome = 1) AS failed, max(doubt) AS doubt,
           max(verdict) AS verdict,
           max(status) FILTER (WHERE outcome = 1) AS failed_status,
           min(sent_at) AS sent_at,
           max(responded_at) FILTER (WHERE outcome = 1) AS failed_at,
           max(received_at) FILTER (WHERE verdict > 0) AS verdict_at,
           max(stat) FILTER (WHERE verdict = 1) AS stat,
           max(error) FILTER (WHERE verdict = 1) AS receipt_error
    FROM evidence
    GROUP BY row_no, part
), messages AS (
    SELECT row_no,
           message_state(max(parts)::bigint,
                         count(*) FILTER (WHERE part > 0 AND accepted),
                         count(*) FILTER (WHERE part > 0 AND failed AND NOT accepted),
                         count(*) FILTER (WHERE part > 0 AND doubt IS NOT NULL AND NOT accepted AND NOT failed),
                         bool_or(part = 0 AND doubt IS NOT NULL),
                         count(*) FILTER (WHERE verdict = 1),
                         count(*) FILTER (WHERE verdict = 2),
                         $4) AS state,
           max(parts) AS parts,
           max(attempt) + 1 AS attempts,
           max(msisdn) AS msisdn,
           max(doubt) AS doubt,
           max(failed_status) AS failed_status,
           min(sent_at) AS sent_at,
           max(greatest(failed_at, verdict_at)) AS done_at,
           max(stat) FILTER (WHERE verdict = 1) AS stat,
           max(receipt_error) FILTER (WHERE verdict = 1) AS receipt_error
    FROM part_rows
    GROUP BY row_no
)
SELECT row_no, state, parts::int, attempts::int, msisdn, doubt, failed_status, sent_at, stat, receipt_error,
       CASE WHEN state IN (2, 3, 5) THEN done_at END AS done_at
FROM messages;
