-- name: create
INSERT INTO traces (scope, account_id, number, msisdn, message_id, smsc_ids, ends_at)
VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
RETURNING trace_id;

-- name: account_id
SELECT account_id FROM accounts WHERE name = $1;

-- name: message
-- What is known of a message: its number and the ids it was given.
SELECT max(msisdn) AS msisdn, array_remove(array_agg(DISTINCT smsc_id), NULL) AS smsc_ids
FROM submissions WHERE slice_id = $1 AND row_no = $2;

-- name: active
SELECT * FROM traces WHERE ended_at IS NULL AND ends_at > now();

-- name: listed
SELECT t.*, a.name AS account, (SELECT count(*) FROM trace_pdus p WHERE p.trace_id = t.trace_id) AS pdus,
       t.ended_at IS NOT NULL OR t.ends_at <= now() AS ended
FROM traces t
LEFT JOIN accounts a USING (account_id)
WHERE $1::int IS NULL OR t.trace_id = $1
ORDER BY t.trace_id DESC
LIMIT 50;

-- name: end
UPDATE traces SET ended_at = now() WHERE trace_id = $1 AND ended_at IS NULL;

-- name: add
INSERT INTO trace_pdus (trace_id, at, account_id, number, body)
SELECT $1, p.at, p.account_id, p.number, p.body
FROM unnest($2::timestamptz[], $3::int[], $4::smallint[], $5::jsonb[]) AS p(at, account_id, number, body)
WHERE EXISTS (SELECT FROM traces WHERE trace_id = $1);

-- name: skip
UPDATE traces SET skipped = skipped + $2 WHERE trace_id = $1;

-- name: trim
-- A trace keeps its newest; what goes is counted.
WITH gone AS (
    DELETE FROM trace_pdus WHERE trace_id = $1 AND pdu_id <= (
        SELECT pdu_id FROM trace_pdus WHERE trace_id = $1 ORDER BY pdu_id DESC OFFSET $2 LIMIT 1)
    RETURNING 1
)
UPDATE traces SET skipped = skipped + (SELECT count(*) FROM gone) WHERE trace_id = $1;

-- name: pdus
SELECT p.*, a.name AS account FROM trace_pdus p JOIN accounts a USING (account_id)
WHERE p.trace_id = $1 AND p.pdu_id > $2 ORDER BY p.pdu_id LIMIT $3;

-- name: forget
DELETE FROM traces WHERE ends_at < now() - interval '1 day';
