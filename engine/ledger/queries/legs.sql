-- name: unplanned
-- Campaigns by routes that have begun and have no legs yet, or have rows without a route that have not failed yet.
SELECT c.campaign_id, l.leg_no
FROM campaigns c
LEFT JOIN legs l ON l.campaign_id = c.campaign_id AND l.channel_ids = '{}'
WHERE c.state = 'Sending' AND c.channel_id IS NULL
  AND CASE WHEN l.leg_no IS NULL THEN NOT EXISTS (SELECT FROM legs x WHERE x.campaign_id = c.campaign_id)
           ELSE EXISTS (SELECT FROM recipient_chunks r WHERE r.upload_id = c.upload_id AND r.chunk_no >= l.next_chunk) END
ORDER BY c.started_at, c.campaign_id;

-- name: alone
-- One worker plans a campaign; goes with the transaction.
SELECT pg_try_advisory_xact_lock(1279608135, hashtext($1::text));

-- name: message
-- What routes look at besides the number; nothing where the plan is made, or the campaign is not Sending.
SELECT sender, workspace_id, category, lane, upload_id
FROM campaigns c
WHERE campaign_id = $1 AND state = 'Sending' AND channel_id IS NULL
  AND NOT EXISTS (SELECT FROM legs l WHERE l.campaign_id = c.campaign_id);

-- name: chunks
SELECT chunk_no, row_count FROM recipient_chunks WHERE upload_id = $1 ORDER BY chunk_no;

-- name: chunk
SELECT data, digest, row_count FROM recipient_chunks WHERE upload_id = $1 AND chunk_no = $2;

-- name: next_chunk
-- Of a leg: the chunk it stands at, and its rows there.
SELECT k.chunk_no, k.row_start, k.row_count, r.data, p.permutation
FROM legs l
JOIN leg_chunks k USING (campaign_id, leg_no)
JOIN campaigns c USING (campaign_id)
JOIN recipient_chunks r ON r.upload_id = c.upload_id AND r.chunk_no = k.chunk_no
LEFT JOIN chunk_plans p ON p.campaign_id = l.campaign_id AND p.chunk_no = k.chunk_no
WHERE l.campaign_id = $1 AND l.leg_no = $2 AND k.chunk_no >= l.next_chunk
ORDER BY k.row_count = 0, k.chunk_no
LIMIT 1;

-- name: behind
-- The leg's position: the first chunk after this one in which it has rows.
UPDATE legs l
SET next_chunk = coalesce((SELECT min(k.chunk_no) FROM leg_chunks k
                           WHERE k.campaign_id = $1 AND k.leg_no = $2 AND k.chunk_no > $3 AND k.row_count > 0),
                          (SELECT count(*) FROM leg_chunks k WHERE k.campaign_id = $1 AND k.leg_no = $2))
WHERE l.campaign_id = $1 AND l.leg_no = $2;

-- name: add_chunk
INSERT INTO chunk_plans (campaign_id, chunk_no, ends, permutation) VALUES ($1, $2, $3, $4);

-- name: add_leg
INSERT INTO legs (campaign_id, leg_no, channel_ids, next_chunk, next_row) VALUES ($1, $2, $3::int[], $4, 0);

-- name: hold
-- The campaign is still Sending, and stays so to the transaction's end.
SELECT campaign_id FROM campaigns WHERE campaign_id = $1 AND state = 'Sending' FOR UPDATE;

-- name: nowhere
-- A slice of rows that no route fits, claimed and closed at once: nothing of it is sent.
WITH added AS (
    INSERT INTO slices (slice_id, campaign_id, chunk_no, leg_no, channel_id, row_start, row_count, claimed_to, state)
    VALUES ($1, $2, $3, $4, NULL, $5, $6, $6, 'done')
)
INSERT INTO claims (slice_id, row_start, row_end, worker_id, epoch, closed_at)
SELECT $1, 0, $6, worker_id, epoch, now() FROM workers WHERE worker_id = $7;

-- name: fail_rows
INSERT INTO submissions (slice_id, row_no, part, attempt, parts, outcome, status, msisdn, account_id, channel_id, sent_at,
                         responded_at)
SELECT $1, u.place - 1, 1, 0, 1, 1, $3, u.msisdn, 0, 0, now(), now()
FROM unnest($2::bigint[]) WITH ORDINALITY AS u (msisdn, place);

-- name: unfit
-- Until the channel is changed.
UPDATE legs SET unfit = unfit || $2::int
WHERE campaign_id = $1 AND $2::int = ANY (channel_ids) AND $2::int <> ALL (unfit);

-- name: fit_again
UPDATE legs SET unfit = array_remove(unfit, $1::int) WHERE $1::int = ANY (unfit);

-- name: stuck
-- Slices with rows to claim on channels that nothing can be sent over now ($1), of campaigns that may go over others.
SELECT s.slice_id, s.campaign_id, s.leg_no, s.channel_id, s.row_count, s.claimed_to, s.origin_slice_id, s.attempt,
       s.tries, s.resend, s.fallback_level, s.due_at, s.explicit_rows, s.explicit_parts, l.channel_ids, l.unfit
FROM slices s
JOIN legs l USING (campaign_id, leg_no)
JOIN campaigns c USING (campaign_id)
WHERE s.state = 'open' AND s.claimed_to < s.row_count AND NOT s.resend
  AND (s.channel_id = ANY ($1::int[]) OR s.channel_id = ANY (l.unfit))
  AND c.state = 'Sending' AND c.channel_id IS NULL AND cardinality(l.channel_ids) > 1
ORDER BY s.slice_id
FOR UPDATE OF s SKIP LOCKED;

-- name: move
-- A slice nothing of which was claimed.
UPDATE slices SET channel_id = $2, fallback_level = fallback_level + 1 WHERE slice_id = $1;

-- name: keep
-- Some rows of a retry slice nothing of which was claimed: the others go on in another.
UPDATE slices SET row_count = $2, explicit_rows = $3, explicit_parts = $4 WHERE slice_id = $1;

-- name: split
-- The rest of a slice, which nobody claimed, as a slice of its own on another channel.
INSERT INTO slices (slice_id, campaign_id, chunk_no, leg_no, channel_id, lane, row_start, row_count, fallback_level,
                    worker_id)
SELECT $1, campaign_id, chunk_no, leg_no, $3, lane, row_start + claimed_to, row_count - claimed_to, fallback_level + 1,
       worker_id
FROM slices
WHERE slice_id = $2;

-- name: hold_claims
-- Before `end`: who is just closing the last claim of the slice does not close the slice, it is longer than that yet.
SELECT FROM claims WHERE slice_id = $1 AND closed_at IS NULL FOR UPDATE;

-- name: end
-- What was claimed of a slice is all of it from now on.
UPDATE slices s
SET row_count = claimed_to,
    explicit_rows = substr(explicit_rows, 1, 4 * claimed_to), explicit_parts = substr(explicit_parts, 1, 2 * claimed_to),
    state = CASE WHEN EXISTS (SELECT FROM claims k WHERE k.slice_id = s.slice_id AND k.closed_at IS NULL) THEN s.state
                 ELSE 'done' END
WHERE slice_id = $1;

-- name: bound_to_operator
-- Those of these messages that have a part that was accepted or is in doubt, or more parts than one.
SELECT row_no FROM submissions WHERE slice_id = $1 AND row_no = ANY ($2::int[]) AND (outcome = 0 OR parts > 1)
UNION
SELECT row_no FROM doubts WHERE slice_id = $1 AND row_no = ANY ($2::int[]);

-- name: channels
-- Where a campaign's rows go as things stand: those in slices over the slice's channel, the others over the first of
-- their leg; and how many were claimed.
WITH by_leg AS (
    SELECT leg_no, sum(row_count) AS rows FROM leg_chunks WHERE campaign_id = $1 GROUP BY leg_no
), sliced AS (
    SELECT leg_no, channel_id, sum(row_count) AS rows, sum(claimed_to) AS claimed
    FROM slices
    WHERE campaign_id = $1 AND origin_slice_id IS NULL
    GROUP BY leg_no, channel_id
), ahead AS (
    SELECT l.channel_ids[1] AS channel_id,
           b.rows - coalesce((SELECT sum(s.rows) FROM sliced s WHERE s.leg_no = b.leg_no), 0) AS rows
    FROM by_leg b
    JOIN legs l ON l.campaign_id = $1 AND l.leg_no = b.leg_no
)
SELECT coalesce(ch.name, '') AS channel, sum(x.rows)::bigint AS rows,
       CASE WHEN ch.name IS NULL THEN 0 ELSE sum(x.claimed) END::bigint AS sent
FROM (SELECT channel_id, rows, claimed FROM sliced
      UNION ALL
      SELECT channel_id, rows, 0 FROM ahead) x
LEFT JOIN channels ch USING (channel_id)
GROUP BY ch.name
HAVING sum(x.rows) > 0
ORDER BY ch.name NULLS LAST;
