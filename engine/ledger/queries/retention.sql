-- name: due
-- Whether today's round at $1 (UTC) is due and not done.
SELECT now() >= d.at AND NOT EXISTS (SELECT FROM retention_runs WHERE started_at >= d.at)
FROM (SELECT (((now() AT TIME ZONE 'UTC')::date + $1::time) AT TIME ZONE 'UTC') AS at) d;

-- name: record
INSERT INTO retention_runs (started_at, took_s, body) VALUES ($1, $2, $3::text::jsonb);

-- name: forget_runs
DELETE FROM retention_runs WHERE started_at < now() - interval '400 days';

-- name: lock
-- One round at a time; nothing is dropped under a verification.
SELECT pg_try_advisory_lock(1380274254) AND pg_try_advisory_lock(1447382854);

-- name: oldest
-- Dropped in order: what is below the lowest partition stays one range.
SELECT p.day, p.partition_no, p.name, p.receipts, p.folded_at,
       EXISTS (SELECT FROM held_money h
               WHERE h.slice_id >= (p.day::bigint << 40) | (p.partition_no::bigint << 28)
                 AND h.slice_id < (p.day::bigint << 40) | ((p.partition_no + 1)::bigint << 28)) AS holds_money
FROM submission_partitions p
WHERE p.dropped_at IS NULL
ORDER BY p.day, p.partition_no
LIMIT 1;

-- name: campaigns
SELECT DISTINCT s.campaign_id FROM slices s WHERE s.slice_id >= $1 AND s.slice_id < $2 ORDER BY 1;

-- name: unsettled
SELECT EXISTS (SELECT FROM slices s JOIN campaigns c USING (campaign_id)
               WHERE s.slice_id >= $1 AND s.slice_id < $2 AND c.settled_at IS NULL);

-- name: slices
-- A campaign's in a partition, of its own rows.
SELECT slice_id, row_count, claimed_to FROM slices
WHERE campaign_id = $1 AND slice_id >= $2 AND slice_id < $3 AND origin_slice_id IS NULL
ORDER BY slice_id;

-- name: charged
SELECT coalesce(sum(cost) FILTER (WHERE outcome = 0), 0)::bigint FROM submissions WHERE slice_id = ANY ($1::bigint[]);

-- name: content
-- One slice's rows as text, hashed. Numbers are not in it: an erasure does not change it.
SELECT count(*) AS rows,
       sha256(convert_to(coalesce(string_agg(concat_ws('|', slice_id, row_no, state, parts, attempts, account_id,
           channel_id, cost, fallback_level, coalesce(doubt, '-'), coalesce(failed_status, 0), coalesce(stat, 0),
           coalesce(receipt_error, '-'), coalesce(extract(epoch FROM sent_at), 0), coalesce(extract(epoch FROM done_at), 0)),
           E'\n' ORDER BY row_no), ''), 'UTF8')) AS digest
FROM messages_done
WHERE slice_id = $1;

-- name: last_seal
SELECT hash FROM partition_seals ORDER BY day DESC, partition_no DESC, campaign_id DESC LIMIT 1;

-- name: seal
INSERT INTO partition_seals (day, partition_no, campaign_id, planned, claimed, sent, delivered, undelivered, no_receipt,
                             failed, in_doubt, submissions, parts, retried, receipts, charged, content, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18);

-- name: seals
SELECT * FROM partition_seals ORDER BY day, partition_no, campaign_id;

-- name: seals_of
SELECT day, planned, claimed, sent, delivered, undelivered, no_receipt, failed, in_doubt, submissions, parts, retried,
       receipts, charged
FROM partition_seals
WHERE campaign_id = $1;

-- name: forget_doubts
DELETE FROM doubts WHERE slice_id >= $1 AND slice_id < $2;

-- name: forget_past_receipts
DELETE FROM receipts_past WHERE slice_id >= $1 AND slice_id < $2;

-- name: vacuum
VACUUM receipts_past;

-- name: timeout
-- Writers wait behind a waiting DROP: so it does not wait for long.
SET LOCAL lock_timeout = '200ms';

-- name: exclusive
LOCK TABLE submissions, receipts, messages_done IN ACCESS EXCLUSIVE MODE;

-- name: drop
DROP TABLE {name};

-- name: lower_past
-- receipts_past takes what still comes for dropped messages.
ALTER TABLE receipts DETACH PARTITION receipts_past;

-- name: raise_past
ALTER TABLE receipts ATTACH PARTITION receipts_past FOR VALUES FROM (MINVALUE) TO ({high});

-- name: dropped
UPDATE submission_partitions SET dropped_at = now() WHERE day = $1 AND partition_no = $2;

-- name: uploads_over
-- Files whose campaigns all ended long enough ago: $1 days, or fewer where their workspace says so.
SELECT u.upload_id
FROM uploads u
LEFT JOIN workspace_retention w USING (workspace_id)
WHERE u.state = 'complete'
  AND EXISTS (SELECT FROM campaigns c WHERE c.upload_id = u.upload_id)
  AND NOT EXISTS (SELECT FROM campaigns c
                  WHERE c.upload_id = u.upload_id
                    AND (c.settled_at IS NULL AND c.state <> 'Returned'
                         OR coalesce(c.done_at, c.created_at)
                            > now() - make_interval(days => least($1::int, coalesce(w.days, $1::int)))))
ORDER BY u.upload_id;

-- name: lock_upload
-- No campaign is made of it meanwhile.
SELECT upload_id FROM uploads WHERE upload_id = $1 AND state = 'complete' FOR UPDATE;

-- name: upload_over
UPDATE uploads SET state = 'discarded', reason = 'kept to the end of its time' WHERE upload_id = $1;

-- name: forget_chunks
UPDATE recipient_chunks SET data = NULL WHERE upload_id = $1 AND data IS NOT NULL;

-- name: forget_plans
-- Where a chunk's rows stood; how many there were of each leg is kept.
UPDATE chunk_plans p SET permutation = NULL
FROM campaigns c
WHERE c.campaign_id = p.campaign_id AND c.upload_id = $1 AND p.permutation IS NOT NULL;

-- name: forget_job_errors
DELETE FROM job_errors WHERE upload_id = $1;

-- name: nameless_slices
-- Slices whose numbers are to go: of settled campaigns, of closed partitions older than their workspace keeps them, the
-- recipient file gone already.
SELECT s.slice_id
FROM workspace_retention w
JOIN campaigns c USING (workspace_id)
JOIN uploads u ON u.upload_id = c.upload_id
JOIN slices s USING (campaign_id)
JOIN submission_partitions p ON p.day = s.slice_id >> 40 AND p.partition_no = (s.slice_id >> 28) & 4095
WHERE c.settled_at IS NOT NULL
  AND u.state = 'discarded'
  AND s.numbers_gone_at IS NULL
  AND s.origin_slice_id IS NULL
  AND p.indexed_at IS NOT NULL
  AND p.dropped_at IS NULL
  AND p.day < $1::int - w.days
ORDER BY s.slice_id
LIMIT 200;

-- name: forget_submissions_numbers
UPDATE submissions SET msisdn = NULL WHERE slice_id = ANY ($1::bigint[]) AND msisdn IS NOT NULL;

-- name: forget_done_numbers
UPDATE messages_done SET msisdn = NULL WHERE slice_id = ANY ($1::bigint[]) AND msisdn IS NOT NULL;

-- name: forget_doubts_numbers
UPDATE doubts SET msisdn = NULL WHERE slice_id = ANY ($1::bigint[]) AND msisdn IS NOT NULL;

-- name: numbers_gone
UPDATE slices SET numbers_gone_at = now() WHERE slice_id = ANY ($1::bigint[]);

-- name: set_workspace
INSERT INTO workspace_retention (workspace_id, days) VALUES ($1, $2)
ON CONFLICT (workspace_id) DO UPDATE SET days = excluded.days, updated_at = now();

-- name: unset_workspace
DELETE FROM workspace_retention WHERE workspace_id = $1;

-- name: workspace_days
SELECT days FROM workspace_retention WHERE workspace_id = $1;

-- name: workspace_files
SELECT count(*) FILTER (WHERE state <> 'discarded') AS kept, count(*) FILTER (WHERE state = 'discarded') AS gone
FROM uploads
WHERE workspace_id = $1;

-- name: oldest_kept
SELECT min(s.slice_id >> 40)::int
FROM campaigns c
JOIN slices s USING (campaign_id)
JOIN submission_partitions p ON p.day = s.slice_id >> 40 AND p.partition_no = (s.slice_id >> 28) & 4095
WHERE c.workspace_id = $1 AND p.dropped_at IS NULL;

-- name: runs
SELECT started_at, took_s, jsonb_array_length(body -> 'folded') AS folded, jsonb_array_length(body -> 'dropped') AS dropped,
       jsonb_array_length(body -> 'uploads') AS uploads, (body ->> 'slices')::int AS slices
FROM retention_runs
ORDER BY run_id DESC
LIMIT $1;

-- name: dropped_of
-- Partitions with messages of the workspace that are gone, latest first; what they held is in their seals.
SELECT p.day, p.name, p.dropped_at, sum(z.planned)::bigint AS messages
FROM submission_partitions p
JOIN partition_seals z USING (day, partition_no)
JOIN campaigns c USING (campaign_id)
WHERE p.dropped_at IS NOT NULL AND c.workspace_id = $1
GROUP BY p.day, p.partition_no, p.name, p.dropped_at
ORDER BY p.day DESC, p.partition_no DESC
LIMIT $2;
