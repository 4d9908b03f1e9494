-- name: lock
SELECT pg_try_advisory_lock(1179600964);

-- name: due
SELECT p.day, p.partition_no
FROM submission_partitions p
WHERE p.indexed_at IS NOT NULL
  AND p.folded_at IS NULL
  AND p.dropped_at IS NULL
  AND NOT EXISTS (SELECT FROM slices s JOIN campaigns c USING (campaign_id)
                  WHERE s.slice_id >= (p.day::bigint << 40) | (p.partition_no::bigint << 28)
                    AND s.slice_id < (p.day::bigint << 40) | ((p.partition_no + 1)::bigint << 28)
                    AND c.settled_at IS NULL)
ORDER BY p.day, p.partition_no;

-- name: campaigns
SELECT DISTINCT campaign_id FROM slices WHERE slice_id >= $1 AND slice_id < $2;

-- name: counters
-- They move with every row of evidence.
WITH own AS MATERIALIZED (SELECT DISTINCT campaign_id FROM slices WHERE slice_id >= $1 AND slice_id < $2)
SELECT (SELECT count(*) FROM own JOIN campaigns c USING (campaign_id) WHERE c.settled_at IS NULL) AS unsettled,
       coalesce(sum(t.submissions), 0) AS submissions, coalesce(sum(t.receipts), 0) AS receipts,
       coalesce(sum(t.in_doubt), 0) AS in_doubt
FROM own
LEFT JOIN campaign_stats t USING (campaign_id);

-- name: oldest_transaction
-- What older ones wrote is there already.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text;

-- name: timeout
SET LOCAL lock_timeout = '2s';

-- name: remove
DROP TABLE IF EXISTS {name};

-- name: create
CREATE TABLE {name} (LIKE messages_done INCLUDING DEFAULTS INCLUDING STORAGE);

-- name: slices
SELECT slice_id FROM slices
WHERE slice_id >= $1 AND slice_id < $2 AND origin_slice_id IS NULL AND claimed_to > 0
ORDER BY slice_id;

-- name: fill
INSERT INTO {name} (slice_id, row_no, state, parts, attempts, msisdn, account_id, channel_id, cost, fallback_level, doubt,
                    failed_status, stat, receipt_error, sent_at, done_at, corrected)
SELECT s.slice_id, m.row_no, m.state, m.parts, m.attempts, m.msisdn, m.account_id, m.channel_id, m.cost,
       m.fallback_level, m.doubt, m.failed_status, m.stat, m.receipt_error, m.sent_at, m.done_at,
       m.corrected
FROM slices s
CROSS JOIN LATERAL messages_of(s.slice_id, 0, s.claimed_to, true) m
WHERE s.slice_id = $1;

-- name: nameless
SELECT row_no FROM {name} WHERE slice_id = $1 AND msisdn IS NULL;

-- name: name_them
UPDATE {name} t SET msisdn = u.msisdn
FROM unnest($2::int[], $3::bigint[]) AS u (row_no, msisdn)
WHERE t.slice_id = $1 AND t.row_no = u.row_no;

-- name: key
ALTER TABLE {name} ADD PRIMARY KEY (slice_id, row_no);

-- name: index
CREATE INDEX ON {name} (msisdn);

-- name: folded
UPDATE submission_partitions SET folded_at = now() WHERE day = $1 AND partition_no = $2;

-- name: changed
-- Messages with evidence of transactions that were not over when the fold began.
SELECT slice_id, row_no FROM submissions
WHERE slice_id >= $1 AND slice_id < $2 AND age(xmin) <= age(($3::text)::xid)
UNION
SELECT slice_id, row_no FROM receipts
WHERE slice_id >= $1 AND slice_id < $2 AND age(xmin) <= age(($3::text)::xid)
UNION
SELECT slice_id, row_no FROM doubts
WHERE slice_id >= $1 AND slice_id < $2 AND age(xmin) <= age(($3::text)::xid);

-- name: again
-- The number and the account stay where the evidence has none.
INSERT INTO messages_done AS t (slice_id, row_no, state, parts, attempts, msisdn, account_id, channel_id, cost,
                                fallback_level, doubt, failed_status, stat, receipt_error, sent_at, done_at,
                                corrected)
SELECT k.slice_id, m.row_no, m.state, m.parts, m.attempts, m.msisdn, m.account_id, m.channel_id, m.cost,
       m.fallback_level, m.doubt, m.failed_status, m.stat, m.receipt_error, m.sent_at, m.done_at,
       m.corrected
FROM (SELECT DISTINCT * FROM unnest($1::bigint[], $2::int[]) AS u (slice_id, row_no)) k
JOIN submission_partitions p ON p.day = k.slice_id >> 40 AND p.partition_no = (k.slice_id >> 28) & 4095
CROSS JOIN LATERAL messages_of(k.slice_id, k.row_no, k.row_no + 1, true) m
WHERE p.folded_at IS NOT NULL AND p.dropped_at IS NULL
ON CONFLICT (slice_id, row_no) DO UPDATE SET
    state = excluded.state, parts = excluded.parts, attempts = excluded.attempts,
    account_id = coalesce(excluded.account_id, t.account_id), channel_id = excluded.channel_id, cost = excluded.cost,
    fallback_level = excluded.fallback_level, doubt = excluded.doubt, failed_status = excluded.failed_status,
    stat = excluded.stat, receipt_error = excluded.receipt_error, sent_at = excluded.sent_at,
    done_at = excluded.done_at, corrected = excluded.corrected;

-- name: unfold
UPDATE submission_partitions p SET folded_at = NULL
WHERE p.folded_at IS NOT NULL
  AND p.dropped_at IS NULL
  AND EXISTS (SELECT FROM slices s
              WHERE s.campaign_id = ANY ($1::uuid[])
                AND s.slice_id >= (p.day::bigint << 40) | (p.partition_no::bigint << 28)
                AND s.slice_id < (p.day::bigint << 40) | ((p.partition_no + 1)::bigint << 28));
