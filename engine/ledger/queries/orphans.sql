-- name: open
-- $1: all of the horizon, from orphan id $2 on; otherwise the last half minute's. What an operator wants retried comes
-- with either.
SELECT orphan_id, account_id, smsc_id, msisdn, source, verdict, stat, error, submitted_s, done_s, done_raw,
       received_at, retry_at IS NOT NULL AS retried, inbound_id
FROM orphan_receipts
WHERE matched_at IS NULL
  AND smsc_id <> ''
  AND (stored_at > now() - CASE WHEN $1 THEN make_interval(secs => $4::float8) ELSE interval '30 seconds' END
       AND orphan_id > $2
       OR retry_at IS NOT NULL)
ORDER BY orphan_id
LIMIT $3;

-- name: candidates
-- Submissions with one of these ids, or (where given) to one of these numbers. Looked up by index in closed
-- partitions, by one scan in hot ones. `owner`: the live worker that counts its receipts, if one does.
SELECT x.account_id, x.smsc_id, coalesce(x.msisdn, -1) AS msisdn, x.sent_at, x.slice_id, x.row_no, x.part, s.campaign_id,
       CASE WHEN w.stopped_at IS NULL THEN w.worker_id WHEN h.stopped_at IS NULL THEN h.worker_id END AS owner
FROM submissions x
JOIN slices s ON s.slice_id = x.slice_id
LEFT JOIN workers w ON w.worker_id = x.worker_id
LEFT JOIN workers h ON h.worker_id = w.heir
WHERE x.account_id = ANY ($1::int[])
  AND (x.smsc_id = ANY ($2::text[]) OR x.msisdn = ANY ($3::bigint[]))
  AND x.smsc_id IS NOT NULL
  AND x.outcome = 0
  AND x.slice_id >= $4;

-- name: exact
SELECT x.account_id, x.smsc_id, coalesce(x.msisdn, -1) AS msisdn, x.sent_at, x.slice_id, x.row_no, x.part, s.campaign_id,
       CASE WHEN w.stopped_at IS NULL THEN w.worker_id WHEN h.stopped_at IS NULL THEN h.worker_id END AS owner
FROM submissions x
JOIN slices s ON s.slice_id = x.slice_id
LEFT JOIN workers w ON w.worker_id = x.worker_id
LEFT JOIN workers h ON h.worker_id = w.heir
WHERE x.account_id = ANY ($1::int[]) AND x.smsc_id = ANY ($2::text[]) AND x.outcome = 0 AND x.slice_id >= $3;

-- name: move
WITH m AS (
    UPDATE orphan_receipts o SET matched_at = now(), retry_at = NULL
    FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::smallint[], $5::smallint[], $6::timestamptz[])
         AS u (orphan_id, slice_id, row_no, part, matched_by, done_at)
    WHERE o.orphan_id = u.orphan_id AND o.matched_at IS NULL
    RETURNING u.slice_id, u.row_no, u.part, o.verdict, o.stat, o.error, u.done_at, o.received_at, o.account_id,
              o.done_raw, o.network_error, u.matched_by, CASE WHEN u.matched_by > 0 THEN o.smsc_id END AS smsc_id,
              o.inbound_id
), flagged AS (
    UPDATE inbound i SET receipt_at = now() FROM m WHERE i.inbound_id = m.inbound_id
)
INSERT INTO receipts (slice_id, row_no, part, verdict, stat, error, done_at, received_at, account_id, done_raw,
                      network_error, matched_by, smsc_id)
SELECT slice_id, row_no, part, verdict, stat, error, done_at, received_at, account_id, done_raw, network_error,
       matched_by, smsc_id
FROM m
RETURNING slice_id, verdict, stat, error;

-- name: tried
UPDATE orphan_receipts SET retry_at = NULL WHERE orphan_id = ANY ($1::bigint[]) AND retry_at IS NOT NULL;

-- name: retry
UPDATE orphan_receipts o SET retry_at = now()
WHERE o.matched_at IS NULL
  AND o.inbound_id IS NULL
  AND o.smsc_id <> ''
  AND ($1::bigint[] IS NULL OR o.orphan_id = ANY ($1::bigint[]))
  AND ($2::int IS NULL OR o.account_id = $2);

-- name: test_parts
-- Receipts of test messages, which are no submissions of a campaign.
WITH t AS (
    UPDATE test_parts t SET stat = o.stat, error = o.error, receipt_at = o.received_at
    FROM orphan_receipts o
    WHERE o.orphan_id = ANY ($1::bigint[])
      AND o.matched_at IS NULL
      AND t.account_id = o.account_id
      AND t.smsc_id = o.smsc_id
      AND (t.receipt_at IS NULL OR o.verdict > 0)
    RETURNING o.orphan_id
)
UPDATE orphan_receipts SET matched_at = now(), retry_at = NULL WHERE orphan_id IN (SELECT orphan_id FROM t);

-- name: page
-- Newest first, from below orphan id $3.
SELECT o.orphan_id, a.name AS account, o.smsc_id, o.msisdn, o.source, o.stat, o.error, o.verdict,
       coalesce(o.done_raw, '') AS done_raw, o.received_at, o.matched_at, o.retry_at, a.settings, a.learned,
       CASE WHEN o.matched_at IS NOT NULL THEN 'matched'
            WHEN o.stored_at > now() - make_interval(secs => $6::float8) THEN 'waiting'
            ELSE 'aged' END AS age
FROM orphan_receipts o
JOIN accounts a USING (account_id)
WHERE o.inbound_id IS NULL
  AND ($1::text IS NULL OR a.name = $1)
  AND ($2::text IS NULL OR o.smsc_id = $2)
  AND o.orphan_id < $3
  AND CASE $4::text
        WHEN 'matched' THEN o.matched_at IS NOT NULL
        WHEN 'waiting' THEN o.matched_at IS NULL AND o.stored_at > now() - make_interval(secs => $6::float8)
        WHEN 'aged' THEN o.matched_at IS NULL AND o.stored_at <= now() - make_interval(secs => $6::float8)
        ELSE o.matched_at IS NULL END
ORDER BY o.orphan_id DESC
LIMIT $5;

-- name: counts
SELECT count(*) FILTER (WHERE fresh) AS waiting, count(*) FILTER (WHERE NOT fresh) AS aged
FROM (
    (SELECT true AS fresh FROM orphan_receipts o JOIN accounts a USING (account_id)
     WHERE o.matched_at IS NULL AND o.inbound_id IS NULL AND ($1::text IS NULL OR a.name = $1)
       AND o.stored_at > now() - make_interval(secs => $2::float8) LIMIT 10000)
    UNION ALL
    (SELECT false FROM orphan_receipts o JOIN accounts a USING (account_id)
     WHERE o.matched_at IS NULL AND o.inbound_id IS NULL AND ($1::text IS NULL OR a.name = $1)
       AND o.stored_at <= now() - make_interval(secs => $2::float8) LIMIT 10000)
) c;
