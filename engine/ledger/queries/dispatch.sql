-- name: retire
-- Earlier processes on this data folder: its lock says they are dead, whatever their lease says.
UPDATE workers SET stopped_at = now() WHERE name = $1 AND stopped_at IS NULL;

-- name: register
INSERT INTO workers (name, epoch, lease_until)
VALUES ($1, (SELECT coalesce(max(epoch), 0) + 1 FROM workers), now() + $2::interval)
RETURNING worker_id, epoch;

-- name: renew
UPDATE workers SET lease_until = now() + $3::interval
WHERE worker_id = $1 AND epoch = $2 AND stopped_at IS NULL
RETURNING worker_id;

-- name: leave
UPDATE workers SET stopped_at = now(), lease_until = now() WHERE worker_id = $1 AND stopped_at IS NULL;

-- name: fence
-- Workers that let their lease run out may not come back: their claims are about to be taken over.
UPDATE workers SET stopped_at = now()
WHERE worker_id <> $1 AND stopped_at IS NULL AND lease_until < now() - make_interval(secs => $2::float8);

-- name: sending
-- Campaigns that may go out now. A disabled channel or account keeps its campaigns waiting.
SELECT c.campaign_id, ch.account_id
FROM campaigns c
JOIN channels ch USING (channel_id)
JOIN accounts a USING (account_id)
WHERE c.state = 'Sending' AND ch.enabled AND a.enabled AND ch.kind = 'smpp'
ORDER BY c.started_at, c.campaign_id;

-- name: cancelled
SELECT campaign_id FROM campaigns WHERE state = 'Cancelled' AND settled_at IS NULL;

-- name: channel_settings
SELECT settings FROM channels WHERE channel_id = $1;

-- name: dialect
SELECT dialect FROM uploads WHERE upload_id = $1;

-- name: position
SELECT next_chunk, next_row FROM campaigns WHERE campaign_id = $1 AND state = 'Sending';

-- name: chunks
SELECT chunk_no, row_count FROM recipient_chunks WHERE upload_id = $1 ORDER BY chunk_no;

-- name: chunk
SELECT data, digest FROM recipient_chunks WHERE upload_id = $1 AND chunk_no = $2;

-- name: open_slices
SELECT slice_id, chunk_no, row_start, row_count, claimed_to
FROM slices
WHERE campaign_id = $1 AND state = 'open' AND claimed_to < row_count AND origin_slice_id IS NULL
ORDER BY slice_id;

-- name: slice
SELECT claimed_to, state FROM slices WHERE slice_id = $1;

-- name: plan_positions
SELECT campaign_id, next_chunk, next_row
FROM campaigns
WHERE campaign_id = ANY ($1::uuid[]) AND state = 'Sending'
ORDER BY campaign_id
FOR UPDATE;

-- name: release
INSERT INTO slices (slice_id, campaign_id, chunk_no, channel_id, row_start, row_count)
SELECT r.slice_id, r.campaign_id, r.chunk_no, c.channel_id, r.row_start, r.row_count
FROM unnest($1::bigint[], $2::uuid[], $3::int[], $4::int[], $5::int[])
     AS r(slice_id, campaign_id, chunk_no, row_start, row_count)
JOIN campaigns c USING (campaign_id);

-- name: advance_plan
UPDATE campaigns c SET next_chunk = p.next_chunk, next_row = p.next_row
FROM unnest($1::uuid[], $2::int[], $3::int[]) AS p(campaign_id, next_chunk, next_row)
WHERE c.campaign_id = p.campaign_id;

-- name: claim
-- Compare-and-swap on the slices' watermarks, by a worker whose lease holds. One range a slice; the ones that lost
-- are not among the answers.
WITH wanted AS (
    SELECT * FROM unnest($1::bigint[], $2::int[], $3::int[]) AS w(slice_id, row_start, row_end)
), moved AS (
    UPDATE slices s SET claimed_to = w.row_end
    FROM wanted w, campaigns c
    WHERE s.slice_id = w.slice_id AND s.claimed_to = w.row_start AND s.state = 'open'
      AND c.campaign_id = s.campaign_id AND c.state = 'Sending'
      AND EXISTS (SELECT FROM workers
                  WHERE worker_id = $4 AND epoch = $5 AND stopped_at IS NULL AND lease_until > now())
    RETURNING s.slice_id, w.row_start, w.row_end
)
INSERT INTO claims (slice_id, row_start, row_end, worker_id, epoch)
SELECT slice_id, row_start, row_end, $4, $5 FROM moved
RETURNING claim_id, slice_id;

-- name: give_back
-- Rows from `row_no` on of each slice were never written. Claims that held nothing else end here; repeating it
-- changes nothing. A cancelled slice stays cancelled.
WITH back AS (
    SELECT * FROM unnest($1::bigint[], $2::int[]) AS b(slice_id, row_no)
), lowered AS (
    UPDATE claims k
    SET row_end = greatest(k.row_start, b.row_no),
        closed_at = CASE WHEN k.row_start >= b.row_no THEN now() END
    FROM back b
    WHERE k.slice_id = b.slice_id AND k.worker_id = $3 AND k.row_end > b.row_no AND k.closed_at IS NULL
    RETURNING k.slice_id
)
UPDATE slices s
SET claimed_to = b.row_no, state = CASE WHEN s.state = 'done' THEN 'open' ELSE s.state END
FROM back b
WHERE s.slice_id = b.slice_id AND s.claimed_to > b.row_no AND s.slice_id IN (SELECT slice_id FROM lowered)
RETURNING s.slice_id, s.campaign_id;

-- name: answered
-- Claims that were committed although the answer was lost. No other open one of a slice starts at its watermark.
SELECT k.claim_id, k.slice_id
FROM unnest($1::bigint[], $2::int[], $3::int[]) AS w(slice_id, row_start, row_end)
JOIN claims k ON k.slice_id = w.slice_id AND k.row_start = w.row_start AND k.row_end = w.row_end
WHERE k.worker_id = $4 AND k.closed_at IS NULL;

-- name: put_bind
INSERT INTO binds (account_id, number, worker_id, state, reason, changed_at)
SELECT b.account_id, b.number, $5, b.state, b.reason, now()
FROM unnest($1::int[], $2::smallint[], $3::text[], $4::text[]) AS b(account_id, number, state, reason)
ON CONFLICT (account_id, number) DO UPDATE
SET worker_id = excluded.worker_id, state = excluded.state, reason = excluded.reason, changed_at = now();

-- name: drop_binds
DELETE FROM binds WHERE account_id = $1 AND NOT (number = ANY ($2::smallint[]));

-- name: job_error
INSERT INTO job_errors (campaign_id, code, detail) VALUES ($1, $2, $3);
