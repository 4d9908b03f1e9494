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
SELECT k.claim_id, k.slice_id, k.row_start, k.row_end, k.account_id, k.bind_number, k.workspace_id, k.row_costs, s.campaign_id,
       s.origin_slice_id, s.explicit_rows, s.explicit_parts, s.attempt, s.channel_id
FROM claims k
JOIN slices s USING (slice_id)
WHERE k.worker_id = $1 AND k.closed_at IS NULL
ORDER BY k.claim_id
FOR UPDATE OF k;

-- name: doubt
-- One row a claimed (row, part), part 0 for all of the message. In doubt is every part without a final result that was
-- not deferred to a retry slice at this attempt or later. Part 0 in doubts: nobody knows how many parts there are.
WITH claimed AS (
    SELECT * FROM unnest($1::bigint[], $2::int[], $3::smallint[], $4::smallint[], $5::int[], $6::smallint[], $9::int[])
        AS u (slice_id, row_no, part, attempt, account_id, bind_number, channel_id)
), known AS (
    SELECT k.*, coalesce(e.parts, 0) AS parts
    FROM claimed k
    CROSS JOIN LATERAL (
        SELECT max(x.parts) AS parts
        FROM (SELECT parts FROM submissions WHERE slice_id = k.slice_id AND row_no = k.row_no
              UNION ALL
              SELECT parts FROM doubts WHERE slice_id = k.slice_id AND row_no = k.row_no) x
    ) e
), part_rows AS (
    SELECT k.slice_id, k.row_no, k.attempt, k.account_id, k.bind_number, k.channel_id, k.parts, p.part::smallint AS part
    FROM known k
    CROSS JOIN LATERAL generate_series(
        CASE WHEN k.part > 0 THEN k.part WHEN k.parts > 0 THEN 1 ELSE 0 END,
        CASE WHEN k.part > 0 THEN k.part ELSE k.parts END
    ) AS p (part)
)
INSERT INTO doubts (slice_id, row_no, part, attempt, parts, reason, account_id, bind_number, worker_id, event,
                    channel_id)
SELECT DISTINCT p.slice_id, p.row_no, p.part,
       greatest(p.attempt, coalesce((SELECT max(x.attempt) FROM submissions x
                                     WHERE x.slice_id = p.slice_id AND x.row_no = p.row_no AND x.part = p.part), 0)),
       CASE WHEN p.part > 0 THEN p.parts ELSE 0 END, 'engine_restart', p.account_id, p.bind_number, $7::int, $8,
       p.channel_id
FROM part_rows p
WHERE NOT EXISTS (SELECT FROM submissions x
                  WHERE x.slice_id = p.slice_id AND x.row_no = p.row_no AND x.part = p.part
                    AND (x.outcome IN (0, 1) OR (x.outcome = 5 AND x.attempt >= p.attempt)))
  AND NOT EXISTS (SELECT FROM doubts x
                  WHERE x.slice_id = p.slice_id AND x.row_no = p.row_no AND x.part = p.part
                    AND x.attempt >= p.attempt)
ON CONFLICT DO NOTHING
RETURNING slice_id, row_no, part;

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

-- name: reserved
-- Of claimed (row, part) pairs: which parts the claim is through with, by an outcome or a doubt of its own attempts, and
-- what one part costs. `cost` is what the claim reserved for the pair. Parts of one message cost the same.
SELECT u.place, coalesce(e.ended, '{}')::int[] AS ended,
       CASE WHEN u.part > 0 OR coalesce(n.parts, 0) <= 1 THEN u.cost ELSE coalesce(n.known_cost, u.cost / n.parts) END
           AS part_cost
FROM unnest($1::bigint[], $2::int[], $3::smallint[], $4::smallint[], $5::bigint[]) WITH ORDINALITY
    AS u (slice_id, row_no, part, attempt, cost, place)
CROSS JOIN LATERAL (
    SELECT max(x.parts) AS parts, max(x.cost) FILTER (WHERE x.parts > 1 AND x.cost > 0)::bigint AS known_cost
    FROM (SELECT parts, cost FROM submissions WHERE slice_id = u.slice_id AND row_no = u.row_no
          UNION ALL
          SELECT parts, 0 FROM doubts WHERE slice_id = u.slice_id AND row_no = u.row_no) x
) n
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT x.part) AS ended
    FROM (SELECT part FROM submissions
          WHERE slice_id = u.slice_id AND row_no = u.row_no AND attempt >= u.attempt AND outcome IN (0, 1, 5)
          UNION ALL
          SELECT part FROM doubts
          WHERE slice_id = u.slice_id AND row_no = u.row_no AND attempt >= u.attempt AND part > 0) x
    WHERE u.part = 0 OR x.part = u.part
) e
ORDER BY u.place;
