-- name: append
-- Pairs that are due at the same time as those of a slice nobody could have claimed yet.
UPDATE slices
SET explicit_rows = explicit_rows || $6::bytea, explicit_parts = explicit_parts || $7::bytea,
    row_count = row_count + $8
WHERE slice_id = (SELECT slice_id FROM slices
                  WHERE origin_slice_id = $1 AND due_at = $5 AND attempt = $2 AND tries = $3 AND resend = $4
                    AND channel_id = coalesce($10, (SELECT o.channel_id FROM slices o WHERE o.slice_id = $1))
                    AND fallback_level = $11
                    AND state = 'open' AND claimed_to = 0 AND due_at > now() AND row_count + $8 <= $9
                  ORDER BY slice_id LIMIT 1
                  FOR UPDATE)
RETURNING slice_id;

-- name: insert
-- The place of its rows in the chunk is the origin's.
INSERT INTO slices (slice_id, campaign_id, chunk_no, leg_no, channel_id, lane, row_start, row_count, origin_slice_id,
                    explicit_rows, explicit_parts, attempt, tries, resend, fallback_level, due_at)
SELECT $1, o.campaign_id, o.chunk_no, o.leg_no, coalesce($10, o.channel_id), o.lane, o.row_start, $3, o.slice_id, $4,
       $5, $6, $7, $8, $11, $9
FROM slices o
WHERE o.slice_id = $2;

-- name: due
-- Retry slices that may be claimed now.
SELECT slice_id, campaign_id, leg_no, channel_id, chunk_no, row_start, row_count, claimed_to, origin_slice_id,
       explicit_rows, explicit_parts, attempt, tries, resend, fallback_level
FROM slices
WHERE (campaign_id, leg_no, channel_id) IN (SELECT * FROM unnest($1::uuid[], $4::smallint[], $5::int[]))
  AND state = 'open' AND origin_slice_id IS NOT NULL
  AND claimed_to < row_count AND due_at <= now() AND NOT (slice_id = ANY ($2::bigint[]))
ORDER BY due_at, slice_id
LIMIT $3;

-- name: results
-- Parts of these rows that have a final result, and how many parts each message has (0: nobody knows).
SELECT e.row_no, coalesce(max(e.parts), 0)::int AS parts,
       coalesce(array_agg(DISTINCT e.part) FILTER (WHERE e.final), '{}')::int[] AS done
FROM (
    SELECT row_no, part, parts, outcome IN (0, 1) AS final
    FROM submissions
    WHERE slice_id = $1 AND row_no = ANY ($2::int[])
    UNION ALL
    SELECT row_no, part, parts, false
    FROM doubts
    WHERE slice_id = $1 AND row_no = ANY ($2::int[])
) e
GROUP BY e.row_no;

-- name: never_again
-- Retry slices of an ended campaign with pairs that were not claimed.
SELECT slice_id, origin_slice_id, explicit_rows, explicit_parts, attempt, resend, claimed_to, row_count
FROM slices
WHERE campaign_id = $1 AND origin_slice_id IS NOT NULL AND claimed_to < row_count
ORDER BY slice_id
FOR UPDATE;

-- name: cancel_pairs
-- The last word on parts that wait for a further try: FAILED, with a status of our own. Parts that are in doubt stay so.
INSERT INTO submissions (slice_id, row_no, part, attempt, parts, outcome, status, msisdn, account_id, channel_id,
                         fallback_level, sent_at, responded_at)
SELECT x.slice_id, x.row_no, x.part, $4, x.parts, 1, $5, x.msisdn, x.account_id, x.channel_id, x.fallback_level,
       now(), now()
FROM unnest($2::int[], $3::smallint[]) AS u (row_no, part)
JOIN submissions x ON x.slice_id = $1 AND x.row_no = u.row_no AND x.part = u.part
                  AND x.attempt = $4 - 1 AND x.outcome = 5
WHERE NOT EXISTS (SELECT FROM submissions y
                  WHERE y.slice_id = x.slice_id AND y.row_no = x.row_no AND y.part = x.part AND y.outcome IN (0, 1))
ON CONFLICT DO NOTHING
RETURNING row_no;

-- name: cancel_whole
-- The same for messages of which nothing was ever sent.
INSERT INTO submissions (slice_id, row_no, part, attempt, parts, outcome, status, msisdn, account_id, channel_id,
                         sent_at, responded_at)
SELECT s.slice_id, u.row_no, 1, $4, 1, 1, $5, u.msisdn, coalesce(c.account_id, 0), s.channel_id, now(), now()
FROM unnest($2::int[], $3::bigint[]) AS u (row_no, msisdn)
JOIN slices s ON s.slice_id = $1
JOIN channels c USING (channel_id)
WHERE NOT EXISTS (SELECT FROM submissions x WHERE x.slice_id = $1 AND x.row_no = u.row_no)
ON CONFLICT DO NOTHING
RETURNING row_no;

-- name: undecide
-- Doubts that were to be sent again and will not be: they can be decided anew.
UPDATE doubts d SET decision = NULL, decided_at = NULL
FROM unnest($2::int[]) AS u (row_no)
WHERE d.slice_id = $1 AND d.row_no = u.row_no AND d.decision = 'resend';

-- name: stranded
-- Open claims of this worker on an account, too old to be on their way.
SELECT k.claim_id
FROM claims k
WHERE k.worker_id = $1 AND k.account_id = $2 AND k.closed_at IS NULL
  AND k.claimed_at < now() - make_interval(secs => $3::float8);

-- name: stranded_claims
SELECT k.claim_id, k.row_start, k.row_end, s.slice_id, s.origin_slice_id, s.explicit_rows, s.explicit_parts,
       s.attempt, s.tries, s.resend, s.channel_id, s.fallback_level, s.campaign_id, k.workspace_id, k.row_costs
FROM claims k
JOIN slices s USING (slice_id)
WHERE k.claim_id = ANY ($1::bigint[]) AND k.closed_at IS NULL
ORDER BY k.claim_id
FOR UPDATE OF k;

-- name: hold_slices
-- Nobody claims of them until this transaction ends.
SELECT FROM slices WHERE slice_id = ANY ($1::bigint[]) ORDER BY slice_id FOR UPDATE;

-- name: overtaken
-- What worker $3 gives back of slices of which another worker claimed rows behind.
SELECT k.claim_id, greatest(k.row_start, b.row_no) AS row_start, k.row_end, s.slice_id, s.origin_slice_id,
       s.explicit_rows, s.explicit_parts, s.attempt, s.tries, s.resend, s.channel_id, s.fallback_level, s.campaign_id
FROM unnest($1::bigint[], $2::int[]) AS b (slice_id, row_no)
JOIN slices s USING (slice_id)
JOIN claims k USING (slice_id)
WHERE k.worker_id = $3 AND k.row_end > b.row_no AND k.closed_at IS NULL
  AND EXISTS (SELECT FROM claims o
              WHERE o.slice_id = b.slice_id AND o.worker_id <> $3 AND o.row_end > greatest(o.row_start, b.row_no))
ORDER BY k.claim_id;
