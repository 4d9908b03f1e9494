-- name: record
INSERT INTO test_messages (test_id, channel_id, account_id, msisdn, sender, body)
SELECT $1, channel_id, account_id, $3, $4, $5 FROM channels WHERE name = $2 AND account_id IS NOT NULL
ON CONFLICT (test_id) DO NOTHING;

-- name: queued
-- Accounts with a test message to send, and whether any awaits its receipt.
SELECT array_agg(DISTINCT account_id) FILTER (WHERE state = 'queued') AS accounts,
       bool_or(state IN ('queued', 'claimed')) AS open,
       bool_or(requested_at > now() - interval '72 hours') AS recent
FROM test_messages
WHERE state IN ('queued', 'claimed') OR requested_at > now() - interval '72 hours';

-- name: claim
-- Nothing is sent before this is committed; one worker gets it. Stops, drains and disabling hold here too.
UPDATE test_messages t
SET state = 'claimed', worker_id = $1, claimed_at = now(), bind_number = $3
FROM channels c
WHERE c.channel_id = t.channel_id AND t.test_id = (
    SELECT q.test_id
    FROM test_messages q
    JOIN channels qc USING (channel_id)
    JOIN accounts a ON a.account_id = q.account_id
    WHERE q.state = 'queued' AND q.account_id = $2 AND qc.enabled AND a.enabled AND NOT a.drained
      AND q.requested_at > now() - interval '60 seconds'
      AND NOT EXISTS (SELECT FROM stops s WHERE s.lifted_at IS NULL
                      AND (s.scope = 'everything' OR s.channel_id = q.channel_id))
    ORDER BY q.requested_at
    LIMIT 1
    FOR UPDATE OF q SKIP LOCKED
)
RETURNING t.*, c.settings;

-- name: parts
INSERT INTO test_parts (test_id, part, account_id)
SELECT $1, part, $2 FROM unnest($3::smallint[]) AS p(part);

-- name: refuse
UPDATE test_messages SET state = 'refused', detail = $2, ended_at = now() WHERE test_id = $1;

-- name: give_back
-- Its worker knows that not one octet of it was written.
WITH back AS (
    UPDATE test_messages SET state = 'queued', worker_id = NULL, claimed_at = NULL, bind_number = NULL
    WHERE test_id = $1 AND state = 'claimed' AND worker_id = $2
    RETURNING test_id
)
DELETE FROM test_parts p USING back b WHERE p.test_id = b.test_id;

-- name: expire
UPDATE test_messages
SET state = 'expired', detail = 'no bind could send it within a minute', ended_at = now()
WHERE state = 'queued' AND requested_at < now() - interval '60 seconds';

-- name: doubt
-- Its worker is gone without a result: whether it was written nobody knows, so it is not sent again.
UPDATE test_messages t
SET state = 'in_doubt', detail = 'the engine stopped before the response came', ended_at = now()
FROM workers w
WHERE t.state = 'claimed' AND w.worker_id = t.worker_id
  AND (w.stopped_at IS NOT NULL OR w.lease_until < now());

-- name: result
UPDATE test_parts SET status = $3, smsc_id = nullif($4, ''), sent_at = $5, responded_at = $6
WHERE test_id = $1 AND part = $2;

-- name: conclude
UPDATE test_messages t
SET state = CASE WHEN p.waiting > 0 THEN 'claimed' WHEN p.doubtful > 0 THEN 'in_doubt' ELSE 'answered' END,
    detail = CASE WHEN p.waiting = 0 AND p.doubtful > 0 THEN 'no response came: it may have been sent' ELSE '' END,
    ended_at = CASE WHEN p.waiting = 0 THEN now() END
FROM (
    SELECT count(*) FILTER (WHERE status IS NULL) AS waiting, count(*) FILTER (WHERE status < 0) AS doubtful
    FROM test_parts WHERE test_id = $1
) p
WHERE t.test_id = $1;

-- name: receipts
-- Receipts of test messages are nobody else's: their ids stand in no submission.
WITH found AS (
    UPDATE orphan_receipts o
    SET matched_at = now()
    FROM test_parts p
    WHERE o.matched_at IS NULL AND o.received_at > now() - interval '72 hours'
      AND p.account_id = o.account_id AND p.smsc_id = o.smsc_id AND p.responded_at > now() - interval '72 hours'
    RETURNING p.test_id, p.part, o.verdict, o.stat, o.error, o.received_at
), best AS (
    SELECT DISTINCT ON (test_id, part) * FROM found ORDER BY test_id, part, verdict DESC, received_at DESC
)
UPDATE test_parts p
SET stat = b.stat, error = b.error, receipt_at = b.received_at
FROM best b
WHERE p.test_id = b.test_id AND p.part = b.part;

-- name: one
SELECT t.*, c.name AS channel FROM test_messages t JOIN channels c USING (channel_id) WHERE t.test_id = $1;

-- name: of_channel
SELECT t.*, c.name AS channel FROM test_messages t JOIN channels c USING (channel_id)
WHERE c.name = $1 ORDER BY t.requested_at DESC LIMIT 50;

-- name: parts_of
SELECT * FROM test_parts WHERE test_id = ANY ($1::uuid[]) ORDER BY test_id, part;
