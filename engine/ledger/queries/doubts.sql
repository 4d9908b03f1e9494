-- name: chunk
-- Where the rows of an origin slice stand.
SELECT r.data, s.row_start, p.permutation
FROM slices s
JOIN campaigns c USING (campaign_id)
JOIN recipient_chunks r ON r.upload_id = c.upload_id AND r.chunk_no = s.chunk_no
LEFT JOIN chunk_plans p ON p.campaign_id = s.campaign_id AND p.chunk_no = s.chunk_no
WHERE s.slice_id = $1;

-- name: groups
-- Doubts that nobody decided about, of messages that are in doubt still; a part that has its result is in none.
WITH undecided AS MATERIALIZED (
    SELECT d.*, s.campaign_id
    FROM doubts d
    JOIN slices s USING (slice_id)
    WHERE (d.decision IS NULL OR d.decision = 'leave') AND ($1::uuid IS NULL OR s.campaign_id = $1)
), keys AS (
    SELECT coalesce(array_agg(slice_id), '{}') AS slice_ids, coalesce(array_agg(row_no), '{}') AS row_nos,
           coalesce(array_agg(false), '{}') AS tally
    FROM (SELECT DISTINCT slice_id, row_no FROM undecided) k
), doubtful AS MATERIALIZED (
    SELECT m.slice_id, m.row_no FROM keys k, message_states(k.slice_ids, k.row_nos, k.tally) m WHERE m.state = 6
), grouped AS (
    SELECT u.campaign_id, u.account_id, u.bind_number, u.reason, u.event, u.worker_id,
           bool_and(u.decision IS NOT NULL) AS left_alone, min(u.doubted_at) AS first_at, max(u.doubted_at) AS last_at,
           count(DISTINCT (u.slice_id, u.row_no)) AS messages, count(DISTINCT (u.slice_id, u.row_no, u.part)) AS parts
    FROM undecided u
    JOIN doubtful USING (slice_id, row_no)
    WHERE NOT EXISTS (SELECT FROM submissions x
                      WHERE x.slice_id = u.slice_id AND x.row_no = u.row_no AND x.part = u.part
                        AND x.outcome IN (0, 1))
    GROUP BY u.campaign_id, u.account_id, u.bind_number, u.reason, u.event, u.worker_id
)
SELECT g.*, c.workspace_id, c.name AS campaign, c.state AS campaign_state, c.in_doubt AS policy,
       coalesce(a.name, '') AS account, coalesce(w.name, '') AS worker
FROM grouped g
JOIN campaigns c USING (campaign_id)
LEFT JOIN accounts a USING (account_id)
LEFT JOIN workers w USING (worker_id)
ORDER BY g.last_at DESC, g.campaign_id, g.account_id, g.bind_number, g.event
LIMIT 500;

-- name: resending
SELECT count(DISTINCT (d.slice_id, d.row_no))
FROM doubts d
JOIN slices s USING (slice_id)
WHERE d.decision = 'resend' AND s.campaign_id = $1
  AND NOT EXISTS (SELECT FROM submissions x
                  WHERE x.slice_id = d.slice_id AND x.row_no = d.row_no AND x.part = greatest(d.part, 1)
                    AND x.outcome IN (0, 1))
  AND NOT EXISTS (SELECT FROM doubts y
                  WHERE y.slice_id = d.slice_id AND y.row_no = d.row_no AND y.attempt > d.attempt
                    AND y.decision IS DISTINCT FROM 'resend');

-- name: resending_campaigns
-- Where a resend may be under way: retry slices of doubts that are not done.
SELECT DISTINCT campaign_id FROM slices
WHERE resend AND state = 'open' AND ($1::uuid IS NULL OR campaign_id = $1);

-- name: campaign
SELECT campaign_id, state, reason, settled_at, sender, in_doubt FROM campaigns WHERE campaign_id = $1 FOR UPDATE;

-- name: members
-- The undecided doubts of a group (of a campaign where $2 is null), oldest first; states are looked at afterwards.
-- `attempt`: the highest of the part so far; of part 0, of the message.
SELECT d.slice_id, d.row_no, d.part, d.reason, d.msisdn, coalesce(d.channel_id, s.channel_id) AS channel_id,
       (SELECT coalesce(max(e.parts), 0) FROM (
            SELECT parts FROM submissions WHERE slice_id = d.slice_id AND row_no = d.row_no
            UNION ALL
            SELECT parts FROM doubts WHERE slice_id = d.slice_id AND row_no = d.row_no) e)::int AS parts,
       (SELECT max(e.attempt) FROM (
            SELECT attempt FROM submissions
            WHERE slice_id = d.slice_id AND row_no = d.row_no AND (d.part = 0 OR part = d.part)
            UNION ALL
            SELECT attempt FROM doubts
            WHERE slice_id = d.slice_id AND row_no = d.row_no AND (d.part = 0 OR part IN (0, d.part))) e)::int
           AS attempt,
       ARRAY(SELECT DISTINCT part FROM submissions
             WHERE slice_id = d.slice_id AND row_no = d.row_no AND outcome IN (0, 1))::int[] AS done
FROM doubts d
JOIN slices s USING (slice_id)
WHERE s.campaign_id = $1
  AND (d.decision IS NULL OR ($2 AND d.decision = 'leave'))
  AND (NOT $2 OR (coalesce(d.account_id, 0) = $3 AND coalesce(d.bind_number, 0) = $4
                  AND d.reason = $5 AND d.event = $6))
ORDER BY d.slice_id, d.row_no, d.part, d.attempt
LIMIT $7
FOR UPDATE OF d;

-- name: decide
UPDATE doubts d SET decision = $4, decided_at = now()
FROM unnest($1::bigint[], $2::int[], $3::smallint[]) AS u (slice_id, row_no, part)
WHERE d.slice_id = u.slice_id AND d.row_no = u.row_no AND d.part = u.part
  AND (d.decision IS NULL OR d.decision = 'leave');

-- name: decree
-- An operator's word on parts: an outcome with a status of our own.
INSERT INTO submissions (slice_id, row_no, part, attempt, parts, outcome, status, msisdn, account_id, channel_id, smsc_id,
                         sent_at, responded_at, cost)
SELECT u.slice_id, u.row_no, u.part, u.attempt, u.parts, $7, $8, u.msisdn, coalesce(c.account_id, 0), u.channel_id,
       u.smsc_id, now(), now(), u.cost
FROM unnest($1::bigint[], $2::int[], $3::smallint[], $4::smallint[], $5::smallint[], $6::bigint[], $9::text[], $10::int[],
            $11::int[])
    AS u (slice_id, row_no, part, attempt, parts, msisdn, smsc_id, cost, channel_id)
JOIN channels c USING (channel_id);

-- name: reopen
-- A campaign that was Done has something to send again.
UPDATE campaigns SET state = 'Sending', reason = '', done_at = NULL, settled_at = NULL, version = version + 1
WHERE campaign_id = $1 AND state = 'Done'
RETURNING campaign_id;

-- name: to_resend
-- Campaigns that want their doubts sent again, with doubts that had time for a late response.
SELECT DISTINCT s.campaign_id
FROM doubts d
JOIN slices s USING (slice_id)
JOIN campaigns c USING (campaign_id)
WHERE d.decision IS NULL AND c.in_doubt = 'resend' AND c.state IN ('Sending', 'Paused', 'Done')
  AND d.doubted_at < now() - make_interval(secs => CASE d.reason WHEN 'no_response' THEN $1::float8 ELSE $2::float8 END);

-- name: no_receipt
SELECT coalesce(sum(no_receipt), 0)::bigint FROM campaign_stats WHERE campaign_id = $1;

-- name: fitting_receipts
-- Receipts of unknown ids that fit exactly one message in doubt, and it them: by account, recipient, sender and time.
-- Only messages of one part: a receipt does not say of which part it is.
WITH waiting AS MATERIALIZED (
    SELECT d.slice_id, d.row_no, d.part, d.attempt, d.msisdn, d.account_id, d.doubted_at, c.campaign_id, c.sender,
           c.in_doubt, coalesce(d.channel_id, s.channel_id) AS channel_id
    FROM doubts d
    JOIN slices s USING (slice_id)
    JOIN campaigns c USING (campaign_id)
    WHERE (d.decision IS NULL OR d.decision = 'leave') AND d.part = 1 AND d.parts = 1
), fits AS (
    SELECT w.*, o.smsc_id, count(*) OVER (PARTITION BY o.orphan_id) AS messages,
           count(*) OVER (PARTITION BY w.slice_id, w.row_no) AS receipts
    FROM waiting w
    JOIN orphan_receipts o ON o.account_id = w.account_id AND o.msisdn = w.msisdn AND lower(o.source) = lower(w.sender)
    WHERE o.matched_at IS NULL AND o.smsc_id <> ''
      AND o.received_at BETWEEN w.doubted_at - interval '10 minutes' AND w.doubted_at + interval '72 hours'
)
SELECT slice_id, row_no, part, attempt, msisdn, campaign_id, smsc_id, channel_id
FROM fits
WHERE messages = 1 AND receipts = 1 AND in_doubt = 'await_receipt'
ORDER BY campaign_id, slice_id, row_no
LIMIT 1000;

-- name: any_awaiting
SELECT EXISTS (SELECT FROM doubts d
               JOIN slices s USING (slice_id)
               JOIN campaigns c USING (campaign_id)
               WHERE (d.decision IS NULL OR d.decision = 'leave') AND c.in_doubt = 'await_receipt');

-- name: recipients_gone
SELECT u.state = 'discarded' FROM campaigns c JOIN uploads u USING (upload_id) WHERE c.campaign_id = $1;
