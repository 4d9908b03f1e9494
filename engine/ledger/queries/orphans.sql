-- name: open
-- $1: all of the horizon, from orphan id $2 on; otherwise the last half minute's.
SELECT orphan_id, account_id, smsc_id, verdict
FROM orphan_receipts
WHERE matched_at IS NULL
  AND smsc_id <> ''
  AND received_at > now() - CASE WHEN $1 THEN interval '72 hours' ELSE interval '30 seconds' END
  AND orphan_id > $2
ORDER BY orphan_id
LIMIT $3;

-- name: find
-- Exact ids of the account; of a reused id the newest. The array is looked up by index in closed partitions and by
-- one scan in hot ones.
WITH hit AS MATERIALIZED (
    SELECT slice_id, row_no, part, account_id, smsc_id, sent_at
    FROM submissions
    WHERE smsc_id = ANY ($2::text[]) AND outcome = 0 AND slice_id >= $3
)
SELECT DISTINCT ON (o.orphan_id) o.orphan_id, h.slice_id, h.row_no, h.part, s.campaign_id
FROM orphan_receipts o
JOIN hit h ON h.account_id = o.account_id AND h.smsc_id = o.smsc_id
JOIN slices s ON s.slice_id = h.slice_id
WHERE o.orphan_id = ANY ($1::bigint[]) AND o.matched_at IS NULL
ORDER BY o.orphan_id, h.sent_at DESC;

-- name: move
WITH m AS (
    UPDATE orphan_receipts o SET matched_at = now()
    FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::smallint[]) AS u (orphan_id, slice_id, row_no, part)
    WHERE o.orphan_id = u.orphan_id AND o.matched_at IS NULL
    RETURNING u.slice_id, u.row_no, u.part, o.verdict, o.stat, o.error, o.done_at, o.received_at, o.account_id
)
INSERT INTO receipts (slice_id, row_no, part, verdict, stat, error, done_at, received_at, account_id)
SELECT * FROM m
RETURNING slice_id, verdict, stat, error;
