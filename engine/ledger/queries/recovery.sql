-- name: dead
SELECT DISTINCT w.worker_id
FROM workers w
JOIN claims k ON k.worker_id = w.worker_id AND k.closed_at IS NULL
JOIN workers self ON self.worker_id = $1
WHERE w.worker_id <> $1
  AND (w.stopped_at IS NOT NULL
       OR w.lease_until < now() - make_interval(secs => $2::float8)
       OR (w.name = self.name AND w.worker_id < self.worker_id))
ORDER BY w.worker_id;

-- name: open_claims
SELECT k.claim_id, k.slice_id, k.row_start, k.row_end, s.campaign_id
FROM claims k
JOIN slices s USING (slice_id)
WHERE k.worker_id = $1 AND k.closed_at IS NULL
ORDER BY k.claim_id
FOR UPDATE OF k;

-- name: doubt
-- Part 0: nobody knows any more which parts went out.
INSERT INTO doubts (slice_id, row_no, part, attempt, reason)
SELECT u.slice_id, u.row_no, 0,
       coalesce((SELECT max(x.attempt) FROM submissions x
                 WHERE x.slice_id = u.slice_id AND x.row_no = u.row_no), 0),
       'engine_restart'
FROM unnest($1::bigint[], $2::int[]) AS u (slice_id, row_no)
ON CONFLICT DO NOTHING;

-- name: close
WITH closed AS (
    UPDATE claims SET closed_at = now() WHERE claim_id = ANY ($1::bigint[]) RETURNING claim_id, slice_id
)
UPDATE slices s SET state = 'done'
WHERE s.slice_id IN (SELECT slice_id FROM closed)
  AND s.state = 'open'
  AND s.claimed_to = s.row_count
  AND NOT EXISTS (SELECT FROM claims c WHERE c.slice_id = s.slice_id AND c.closed_at IS NULL
                                         AND c.claim_id NOT IN (SELECT claim_id FROM closed));
