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
SELECT campaign_id, state, settled_at IS NOT NULL AS settled FROM campaigns WHERE campaign_id = $1;

-- name: slice_at
-- The slice that holds the next row: this one, or the one after it.
-- Messages of dropped partitions are gone.
SELECT s.slice_id, s.chunk_no, s.channel_id, s.created_at, s.row_start, s.row_count, s.claimed_to, p.folded_at IS NOT NULL AS folded
FROM slices s
LEFT JOIN submission_partitions p ON p.day = s.slice_id >> 40 AND p.partition_no = (s.slice_id >> 28) & 4095
WHERE s.campaign_id = $1
  AND s.origin_slice_id IS NULL
  AND (s.slice_id > $2 OR (s.slice_id = $2 AND s.row_count > $3))
  AND p.dropped_at IS NULL
ORDER BY s.slice_id
LIMIT 1;

-- name: chunk
SELECT r.data, p.permutation
FROM campaigns c
JOIN recipient_chunks r ON r.upload_id = c.upload_id AND r.chunk_no = $2
LEFT JOIN chunk_plans p ON p.campaign_id = c.campaign_id AND p.chunk_no = $2
WHERE c.campaign_id = $1;

-- name: messages
SELECT row_no, state, parts, attempts, msisdn, channel_id, cost, doubt, failed_status, sent_at, stat, receipt_error,
       done_at, corrected
FROM messages_of($1, $2, $3, $4);

-- name: messages_done
SELECT row_no, state, parts, attempts, msisdn, channel_id, cost, doubt, failed_status, sent_at, stat, receipt_error,
       done_at, corrected
FROM messages_done
WHERE slice_id = $1 AND row_no >= $2 AND row_no < $3;

-- name: channel_names
SELECT channel_id, name FROM channels;
