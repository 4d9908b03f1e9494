-- name: retire
-- Earlier processes on this data folder: its lock says they are dead, whatever their lease says.
UPDATE workers SET stopped_at = now() WHERE name = $1 AND stopped_at IS NULL;

-- name: register
INSERT INTO workers (name, epoch, lease_until, application)
VALUES ($1, (SELECT coalesce(max(epoch), 0) + 1 FROM workers), now() + $2::interval, current_setting('application_name'))
RETURNING worker_id, epoch;

-- name: renew
UPDATE workers SET lease_until = now() + $3::interval
WHERE worker_id = $1 AND epoch = $2 AND stopped_at IS NULL
RETURNING worker_id;

-- name: leave
UPDATE workers SET stopped_at = now(), lease_until = now() WHERE worker_id = $1 AND stopped_at IS NULL;

-- name: cut_off
-- Before the fence: a process that was stopped in the middle of a transaction holds its locks for ever.
SELECT pg_terminate_backend(a.pid)
FROM workers w
JOIN pg_stat_activity a ON a.application_name = w.application AND a.usename = current_user
WHERE w.worker_id <> $1 AND w.stopped_at IS NULL AND w.lease_until < now() - make_interval(secs => $2::float8)
  AND w.application <> '' AND w.application <> current_setting('application_name');

-- name: fence
-- Workers that let their lease run out may not come back: their claims are about to be taken over.
UPDATE workers SET stopped_at = now()
WHERE worker_id <> $1 AND stopped_at IS NULL AND lease_until < now() - make_interval(secs => $2::float8);

-- name: sending
-- Legs of campaigns that may go out now, each over the first of its channels that is not closed ($1), or the first of
-- all; and channels over which something released, or to go again, still waits. A disabled channel or account keeps
-- its legs waiting, a stop too.
WITH legs_now AS (
    SELECT l.campaign_id, l.leg_no, true AS releases,
           coalesce((SELECT u.channel_id FROM unnest(l.channel_ids) WITH ORDINALITY AS u (channel_id, place)
                     WHERE u.channel_id <> ALL ($1::int[]) AND u.channel_id <> ALL (l.unfit) ORDER BY u.place LIMIT 1),
                    l.channel_ids[1]) AS channel_id
    FROM legs l
    JOIN campaigns c USING (campaign_id)
    WHERE c.state = 'Sending' AND cardinality(l.channel_ids) > 0
), wanted AS (
    SELECT campaign_id, leg_no, channel_id, bool_or(releases) AS releases
    FROM (SELECT campaign_id, leg_no, channel_id, releases FROM legs_now
          UNION ALL
          SELECT s.campaign_id, s.leg_no, s.channel_id, false
          FROM campaigns c
          JOIN slices s USING (campaign_id)
          WHERE c.state = 'Sending' AND c.channel_id IS NULL AND s.state = 'open' AND s.claimed_to < s.row_count) x
    GROUP BY campaign_id, leg_no, channel_id
)
SELECT n.campaign_id, n.leg_no, n.channel_id, n.releases, ch.account_id, coalesce(w.weight, 1) AS weight
FROM wanted n
JOIN campaigns c USING (campaign_id)
JOIN channels ch ON ch.channel_id = n.channel_id
JOIN accounts a USING (account_id)
LEFT JOIN workspace_weights w USING (workspace_id)
WHERE ch.enabled AND ch.tripped_at IS NULL AND a.enabled AND ch.kind = 'smpp'
  AND NOT EXISTS (SELECT FROM stops p
                  WHERE p.lifted_at IS NULL
                    AND (p.scope = 'everything' OR p.workspace_id = c.workspace_id OR p.channel_id = n.channel_id))
ORDER BY c.started_at, c.campaign_id, n.leg_no;

-- name: express
-- Legs of express campaigns that nobody has released a row of, over the first of their channels where nothing keeps them
-- from it; what else there is finds `sending`, which takes longer. Not those in $1.
SELECT c.campaign_id, l.leg_no, ch.channel_id, ch.account_id, coalesce(w.weight, 1) AS weight
FROM campaigns c
JOIN legs l USING (campaign_id)
JOIN channels ch ON ch.channel_id = l.channel_ids[1]
JOIN accounts a USING (account_id)
LEFT JOIN workspace_weights w USING (workspace_id)
WHERE c.state = 'Sending' AND c.lane = 0 AND c.campaign_id <> ALL ($1::uuid[])
  AND l.next_chunk = 0 AND l.next_row = 0 AND l.channel_ids[1] <> ALL (l.unfit)
  AND ch.enabled AND ch.tripped_at IS NULL AND a.enabled AND ch.kind = 'smpp'
  AND NOT EXISTS (SELECT FROM stops p
                  WHERE p.lifted_at IS NULL
                    AND (p.scope = 'everything' OR p.workspace_id = c.workspace_id OR p.channel_id = ch.channel_id))
ORDER BY c.started_at, c.campaign_id, l.leg_no;

-- name: closed_reasons
-- Campaigns whose channel or account is closed wait, and say for what; so does one by routes with rows that stand on a
-- closed channel, or have none that is open.
WITH closed AS (
    SELECT ch.channel_id,
           CASE WHEN NOT ch.enabled THEN format('channel %s is disabled', ch.name)
                WHEN NOT a.enabled THEN format('account %s is disabled', a.name)
                ELSE format('channel tripped: %s', ch.tripped_reason) END AS text
    FROM channels ch
    JOIN accounts a USING (account_id)
    WHERE NOT (ch.enabled AND a.enabled AND ch.tripped_at IS NULL)
), waiting AS (
    SELECT c.campaign_id, min(x.text) AS text
    FROM campaigns c
    CROSS JOIN LATERAL (
        SELECT o.text FROM closed o WHERE o.channel_id = c.channel_id
        UNION ALL
        SELECT o.text
        FROM slices s
        JOIN closed o ON o.channel_id = s.channel_id
        WHERE c.channel_id IS NULL AND s.campaign_id = c.campaign_id AND s.state = 'open' AND s.claimed_to < s.row_count
        UNION ALL
        SELECT o.text
        FROM legs l
        JOIN closed o ON o.channel_id = l.channel_ids[1]
        WHERE c.channel_id IS NULL AND l.campaign_id = c.campaign_id
          AND NOT EXISTS (SELECT FROM unnest(l.channel_ids) AS u (id) WHERE u.id NOT IN (SELECT channel_id FROM closed))
          AND EXISTS (SELECT FROM leg_chunks k
                      WHERE k.campaign_id = l.campaign_id AND k.leg_no = l.leg_no
                        AND (k.chunk_no > l.next_chunk AND k.row_count > 0
                             OR k.chunk_no = l.next_chunk AND k.row_count > l.next_row))
    ) x
    WHERE c.state = 'Sending'
    GROUP BY c.campaign_id
)
UPDATE campaigns c SET reason = w.text
FROM waiting w
WHERE c.campaign_id = w.campaign_id AND c.state = 'Sending' AND c.reason <> w.text
  AND NOT (c.reason = 'stopped' OR c.reason LIKE 'stopped: %');

-- name: reason
-- What a campaign waits for; where a stop holds it, that stands there.
UPDATE campaigns SET reason = $2
WHERE campaign_id = $1 AND state = 'Sending' AND reason <> $2
  AND NOT (reason = 'stopped' OR reason LIKE 'stopped: %');

-- name: cancelled
-- Ended before every row was sent, and not settled yet.
SELECT campaign_id FROM campaigns WHERE state IN ('Cancelled', 'Failed', 'Expired') AND settled_at IS NULL;

-- name: campaign
-- What a leg ($2) needs to go out over a channel ($3), in one answer.
SELECT c.*, coalesce(named.name, '') AS channel, u.digest, u.accepted AS upload_accepted, u.dialect,
       o.name AS over, o.settings AS over_settings, o.account_id AS over_account, l.channel_ids, l.next_chunk, l.next_row,
       k.chunk_nos, k.row_starts, k.row_counts
FROM campaigns c
LEFT JOIN channels named USING (channel_id)
JOIN uploads u USING (upload_id)
JOIN channels o ON o.channel_id = $3
LEFT JOIN legs l ON l.campaign_id = c.campaign_id AND l.leg_no = $2
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(chunk_no ORDER BY chunk_no), '{}') AS chunk_nos,
           coalesce(array_agg(row_start ORDER BY chunk_no), '{}') AS row_starts,
           coalesce(array_agg(row_count ORDER BY chunk_no), '{}') AS row_counts
    FROM leg_chunks
    WHERE campaign_id = c.campaign_id AND leg_no = $2
) k
WHERE c.campaign_id = $1;

-- name: position
SELECT l.next_chunk, l.next_row
FROM legs l
JOIN campaigns c USING (campaign_id)
WHERE l.campaign_id = $1 AND l.leg_no = $2 AND c.state = 'Sending';

-- name: chunk
SELECT r.data, r.digest, r.row_count, p.permutation
FROM recipient_chunks r
LEFT JOIN chunk_plans p ON p.campaign_id = $3 AND p.chunk_no = r.chunk_no
WHERE r.upload_id = $1 AND r.chunk_no = $2;

-- name: open_slices
-- Those of worker $4, and of those that cannot claim them now: no bind of theirs of the account is bound, or they have no
-- part of its TPS. Where two think so at once, the claims decide.
SELECT s.slice_id, s.chunk_no, s.row_start, s.row_count, s.claimed_to
FROM slices s
JOIN channels ch USING (channel_id)
WHERE s.campaign_id = $1 AND s.leg_no = $2 AND s.channel_id = $3
  AND s.state = 'open' AND s.claimed_to < s.row_count AND s.origin_slice_id IS NULL
  AND (s.worker_id IS NULL OR s.worker_id = $4
       OR NOT EXISTS (SELECT
                      FROM shares h
                      JOIN workers w USING (worker_id)
                      JOIN binds b ON b.account_id = h.account_id AND b.number = h.number AND b.worker_id = h.worker_id
                      WHERE h.worker_id = s.worker_id AND h.account_id = ch.account_id AND h.kind = 'bind'
                        AND w.stopped_at IS NULL AND w.lease_until > now() AND b.state = 'bound'
                        AND b.live_at > now() - interval '10 s'
                        AND EXISTS (SELECT FROM shares t
                                    WHERE t.worker_id = h.worker_id AND t.account_id = h.account_id AND t.kind = 'tps')))
ORDER BY s.slice_id;

-- name: slice
SELECT s.claimed_to, s.row_count, s.channel_id, s.state, c.rate_version
FROM slices s
JOIN campaigns c USING (campaign_id)
WHERE s.slice_id = $1;

-- name: hold_campaigns
SELECT campaign_id
FROM campaigns
WHERE campaign_id = ANY ($1::uuid[]) AND state = 'Sending'
ORDER BY campaign_id
FOR UPDATE;

-- name: plan_positions
-- After `hold_campaigns`: nobody else moves them.
SELECT campaign_id, leg_no, next_chunk, next_row
FROM legs
JOIN unnest($1::uuid[], $2::smallint[]) AS w (campaign_id, leg_no) USING (campaign_id, leg_no);

-- name: release
-- The slices, and where the legs stand after them.
WITH advanced AS (
    UPDATE legs l SET next_chunk = p.next_chunk, next_row = p.next_row
    FROM unnest($9::uuid[], $10::smallint[], $11::int[], $12::int[]) AS p(campaign_id, leg_no, next_chunk, next_row)
    WHERE l.campaign_id = p.campaign_id AND l.leg_no = p.leg_no
)
INSERT INTO slices (slice_id, campaign_id, leg_no, chunk_no, channel_id, lane, row_start, row_count, worker_id)
SELECT r.slice_id, r.campaign_id, r.leg_no, r.chunk_no, r.channel_id, c.lane, r.row_start, r.row_count, $8
FROM unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::int[], $5::int[], $6::int[], $7::int[])
     AS r(slice_id, campaign_id, leg_no, channel_id, chunk_no, row_start, row_count)
JOIN campaigns c USING (campaign_id);

-- name: claim
-- Compare-and-swap on the slices' watermarks, by a worker whose lease holds, where no stop covers them. One range a
-- slice; the ones that lost are not among the answers. Whoever is charged is charged by the list that he thinks.
WITH wanted AS (
    SELECT * FROM unnest($1::bigint[], $2::int[], $3::int[], $7::smallint[], $8::int[], $9::uuid[], $10::bytea[], $11::int[])
        AS w(slice_id, row_start, row_end, bind_number, rate_version, workspace_id, row_costs, channel_id)
), moved AS (
    UPDATE slices s SET claimed_to = w.row_end
    FROM wanted w, campaigns c
    WHERE s.slice_id = w.slice_id AND s.claimed_to = w.row_start AND s.state = 'open'
      AND s.channel_id = w.channel_id AND w.row_end <= s.row_count
      AND c.campaign_id = s.campaign_id AND c.state = 'Sending' AND c.rate_version IS NOT DISTINCT FROM w.rate_version
      AND EXISTS (SELECT FROM workers
                  WHERE worker_id = $4 AND epoch = $5 AND stopped_at IS NULL AND lease_until > now())
      AND NOT EXISTS (SELECT FROM stops p
                      WHERE p.lifted_at IS NULL
                        AND (p.scope = 'everything' OR p.workspace_id = c.workspace_id
                             OR p.channel_id = s.channel_id))
      AND EXISTS (SELECT FROM channels ch JOIN accounts a USING (account_id)
                  WHERE ch.channel_id = s.channel_id AND ch.enabled AND a.enabled AND NOT a.drained)
    RETURNING s.slice_id, w.row_start, w.row_end, w.bind_number, w.workspace_id, w.row_costs
)
INSERT INTO claims (slice_id, row_start, row_end, worker_id, epoch, account_id, bind_number, workspace_id, row_costs)
SELECT slice_id, row_start, row_end, $4, $5, $6, bind_number, workspace_id, row_costs FROM moved
RETURNING claim_id, slice_id;

-- name: give_back
-- Rows from `row_no` on of each slice were never written. Claims that held nothing else end here; repeating it
-- changes nothing. A cancelled slice stays cancelled. Never back over a claim of another worker: `give_way` saw to those.
-- What the rows had reserved goes back into the worker's lot, whose row the caller holds.
WITH back AS (
    SELECT * FROM unnest($1::bigint[], $2::int[]) AS b(slice_id, row_no)
), ending AS (
    SELECT k.claim_id, k.row_start, k.row_end, b.row_no
    FROM back b
    JOIN claims k USING (slice_id)
    WHERE k.worker_id = $3 AND k.row_end > b.row_no AND k.closed_at IS NULL
    FOR UPDATE OF k
), lowered AS (
    UPDATE claims k
    SET row_end = greatest(k.row_start, e.row_no),
        closed_at = CASE WHEN k.row_start >= e.row_no THEN now() END
    FROM ending e
    WHERE k.claim_id = e.claim_id
    RETURNING k.slice_id, k.workspace_id,
              CASE WHEN k.row_costs IS NULL THEN 0
                   ELSE rows_cost(k.row_costs, greatest(e.row_no - k.row_start, 0), e.row_end - k.row_start)
              END AS refund
), refunded AS (
    UPDATE wallet_lots l SET free = l.free + r.amount, reserved = l.reserved - r.amount
    FROM (SELECT workspace_id, sum(refund)::bigint AS amount FROM lowered GROUP BY workspace_id) r
    WHERE l.workspace_id = r.workspace_id AND l.worker_id = $3 AND r.amount <> 0
)
UPDATE slices s
SET claimed_to = b.row_no, state = CASE WHEN s.state = 'done' THEN 'open' ELSE s.state END
FROM back b
WHERE s.slice_id = b.slice_id AND s.claimed_to > b.row_no AND s.slice_id IN (SELECT slice_id FROM lowered)
  AND NOT EXISTS (SELECT FROM claims o
                  WHERE o.slice_id = b.slice_id AND o.worker_id <> $3 AND o.row_end > greatest(o.row_start, b.row_no))
RETURNING s.slice_id, s.campaign_id;

-- name: answered
-- Claims that were committed although the answer was lost. No other open one of a slice starts at its watermark.
SELECT k.claim_id, k.slice_id
FROM unnest($1::bigint[], $2::int[], $3::int[]) AS w(slice_id, row_start, row_end)
JOIN claims k ON k.slice_id = w.slice_id AND k.row_start = w.row_start AND k.row_end = w.row_end
WHERE k.worker_id = $4 AND k.closed_at IS NULL;

-- name: put_bind
INSERT INTO binds AS o (account_id, number, worker_id, state, reason, changed_at, down_since)
SELECT b.account_id, b.number, $5, b.state, b.reason, now(), CASE WHEN b.state <> 'bound' THEN now() END
FROM unnest($1::int[], $2::smallint[], $3::text[], $4::text[]) AS b(account_id, number, state, reason)
ON CONFLICT (account_id, number) DO UPDATE
SET worker_id = excluded.worker_id, state = excluded.state, reason = excluded.reason, changed_at = now(),
    down_since = CASE WHEN excluded.state <> 'bound' THEN coalesce(o.down_since, now()) END;

-- name: drop_binds
DELETE FROM binds WHERE account_id = $1 AND NOT (number = ANY ($2::smallint[]));

-- name: job_error
INSERT INTO job_errors (campaign_id, code, detail) VALUES ($1, $2, $3);
