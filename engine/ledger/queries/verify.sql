-- name: campaigns
-- With slices of that day, where one is given.
SELECT c.campaign_id
FROM campaigns c
WHERE ($1::uuid IS NULL OR c.campaign_id = $1)
  AND ($2::bigint IS NULL
       OR EXISTS (SELECT FROM slices s
                  WHERE s.campaign_id = c.campaign_id AND s.slice_id >= $2 AND s.slice_id < $3))
ORDER BY c.created_at, c.campaign_id;

-- name: campaign
SELECT c.state, c.accepted, c.rate_version, c.category, c.settled_at IS NOT NULL AS settled,
       u.digest AS upload_digest, m.body IS NULL OR sha256(m.body) <> c.manifest_hash AS unsealed,
       (SELECT coalesce(sum(k.row_count), 0)
        FROM leg_chunks k JOIN legs l USING (campaign_id, leg_no)
        WHERE k.campaign_id = c.campaign_id AND k.chunk_no < l.next_chunk)::bigint
       + (SELECT coalesce(sum(next_row), 0) FROM legs WHERE campaign_id = c.campaign_id)::bigint AS position,
       (SELECT coalesce(sum(s.row_count), 0) FROM slices s
        WHERE s.campaign_id = c.campaign_id AND s.origin_slice_id IS NULL)::bigint AS sliced
FROM campaigns c
LEFT JOIN uploads u USING (upload_id)
LEFT JOIN manifests m USING (manifest_hash)
WHERE c.campaign_id = $1;

-- name: chunks
-- Of the campaign's upload whose content is not what was sealed, or what an erasure left of it.
SELECT r.upload_id, r.chunk_no, encode(coalesce(r.data_digest, r.digest), 'hex') AS expected, encode(sha256(r.data), 'hex') AS found
FROM recipient_chunks r
JOIN campaigns c USING (upload_id)
WHERE c.campaign_id = $1 AND sha256(r.data) <> coalesce(r.data_digest, r.digest)
ORDER BY r.chunk_no
LIMIT 1;

-- name: slice_overlaps
-- Slices of which a row is also in an earlier one.
SELECT s.slice_id, s.chunk_no, s.row_start, s.previous_end
FROM (
    SELECT slice_id, chunk_no, row_start,
           max(row_start + row_count) OVER (PARTITION BY chunk_no ORDER BY row_start, slice_id
                                            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS previous_end
    FROM slices
    WHERE campaign_id = $1 AND origin_slice_id IS NULL
) s
WHERE s.row_start < s.previous_end
ORDER BY s.slice_id
LIMIT 1;

-- name: ill_planned
-- A chunk whose rows do not stand in the legs' order once each.
SELECT p.chunk_no, r.row_count,
       CASE WHEN p.ends[cardinality(p.ends)] <> r.row_count THEN p.ends[cardinality(p.ends)]
            ELSE octet_length(p.permutation) / 4 END AS found
FROM chunk_plans p
JOIN campaigns c USING (campaign_id)
JOIN recipient_chunks r ON r.upload_id = c.upload_id AND r.chunk_no = p.chunk_no
WHERE p.campaign_id = $1
  AND (p.ends[cardinality(p.ends)] <> r.row_count OR octet_length(p.permutation) <> 4 * r.row_count
       OR cardinality(p.ends) <> (SELECT count(*) FROM legs l WHERE l.campaign_id = p.campaign_id))
ORDER BY p.chunk_no
LIMIT 1;

-- name: beyond_chunk
SELECT s.slice_id, s.chunk_no, s.row_start + s.row_count AS row_end, coalesce(r.row_count, 0) AS row_count
FROM slices s
JOIN campaigns c USING (campaign_id)
LEFT JOIN recipient_chunks r ON r.upload_id = c.upload_id AND r.chunk_no = s.chunk_no
WHERE s.campaign_id = $1 AND s.origin_slice_id IS NULL AND s.row_start + s.row_count > coalesce(r.row_count, 0)
  AND EXISTS (SELECT FROM recipient_chunks x WHERE x.upload_id = c.upload_id)
ORDER BY s.slice_id
LIMIT 1;

-- name: claims
-- By slice: how many rows its claims hold, how many of these belong to open ones, and whether one begins before the
-- one before it ended.
SELECT k.slice_id, sum(k.row_end - k.row_start)::bigint AS claimed,
       count(*) FILTER (WHERE k.closed_at IS NULL)::bigint AS open_claims,
       min(k.claim_id) FILTER (WHERE k.row_start < k.previous_end) AS overlapping,
       max(k.row_end) AS row_end
FROM (
    SELECT claim_id, slice_id, row_start, row_end, closed_at,
           max(row_end) OVER (PARTITION BY slice_id ORDER BY row_start, row_end, claim_id
                              ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS previous_end
    FROM claims
    WHERE slice_id = ANY ($1::bigint[]) AND (row_end > row_start OR closed_at IS NULL)
) k
GROUP BY k.slice_id;

-- name: outside
-- The first row of evidence outside the claimed rows [0, $2) of a slice.
SELECT e.kind, e.row_no, e.part, e.attempt
FROM (
    (SELECT 'submissions' AS kind, row_no, part, attempt FROM submissions
     WHERE slice_id = $1 AND NOT row_no BETWEEN 0 AND $2::int - 1 ORDER BY 2, 3, 4 LIMIT 1)
    UNION ALL
    (SELECT 'doubts', row_no, part, attempt FROM doubts
     WHERE slice_id = $1 AND NOT row_no BETWEEN 0 AND $2::int - 1 ORDER BY 2, 3, 4 LIMIT 1)
    UNION ALL
    (SELECT 'receipts', row_no, part, 0::smallint FROM receipts
     WHERE slice_id = $1 AND NOT row_no BETWEEN 0 AND $2::int - 1 ORDER BY 2, 3 LIMIT 1)
) e
ORDER BY e.row_no
LIMIT 1;

-- name: accepted_twice
-- Parts the operator accepted more than once although none was in doubt.
SELECT t.slice_id, t.row_no, t.part, t.times
FROM (
    SELECT slice_id, row_no, part, count(*) AS times
    FROM submissions
    WHERE slice_id = ANY ($1::bigint[]) AND outcome = 0
    GROUP BY slice_id, row_no, part
    HAVING count(*) > 1
) t
WHERE NOT EXISTS (SELECT FROM doubts d
                  WHERE d.slice_id = t.slice_id AND d.row_no = t.row_no AND d.part IN (0, t.part))
ORDER BY t.slice_id, t.row_no, t.part
LIMIT 1;

-- name: open_rows
-- Rows [0, $2) of a slice whose message is not complete although no open claim holds it.
SELECT m.row_no
FROM message_states(array_fill($1::bigint, ARRAY[$2::int]), ARRAY(SELECT generate_series(0, $2::int - 1)),
                    array_fill(false, ARRAY[$2::int])) m
WHERE m.state = 0
  AND NOT EXISTS (SELECT FROM claims k
                  WHERE k.slice_id = $1 AND k.closed_at IS NULL AND m.row_no >= k.row_start AND m.row_no < k.row_end)
ORDER BY m.row_no;

-- name: gaps
-- Claimed rows of a slice that no claim holds: given back behind another worker's claim, each in a retry slice instead.
SELECT g.row_no
FROM generate_series(0, $2::int - 1) AS g (row_no)
WHERE NOT EXISTS (SELECT FROM claims k WHERE k.slice_id = $1 AND g.row_no >= k.row_start AND g.row_no < k.row_end)
ORDER BY g.row_no;

-- name: kin
-- A slice and the retry slices of its origin.
SELECT o.slice_id, o.attempt, o.explicit_rows
FROM slices s
JOIN slices o ON o.slice_id = s.slice_id OR o.origin_slice_id = coalesce(s.origin_slice_id, s.slice_id)
WHERE s.slice_id = $1;

-- name: retries_of
-- Retry slices of these slices.
SELECT s.slice_id, s.origin_slice_id, s.campaign_id, s.row_count, s.claimed_to, s.state, s.explicit_rows, s.explicit_parts,
       o.campaign_id AS origin_campaign_id, o.claimed_to AS origin_claimed_to, o.row_count AS origin_row_count
FROM slices s
LEFT JOIN slices o ON o.slice_id = s.origin_slice_id
WHERE s.origin_slice_id = ANY ($1::bigint[])
ORDER BY s.slice_id;

-- name: stray_retries
-- Retry slices whose origin is not there, or is a retry slice, or is of another campaign.
SELECT s.slice_id, s.origin_slice_id
FROM slices s
LEFT JOIN slices o ON o.slice_id = s.origin_slice_id
WHERE s.campaign_id = $1 AND s.origin_slice_id IS NOT NULL
  AND (o.slice_id IS NULL OR o.origin_slice_id IS NOT NULL OR o.campaign_id <> s.campaign_id)
ORDER BY s.slice_id
LIMIT 1;

-- name: evidence_of_retries
-- Submissions carry their origin's slice and row: of a retry slice there are none.
SELECT s.slice_id, e.kind
FROM slices s
CROSS JOIN LATERAL (
    SELECT 'submissions' AS kind WHERE EXISTS (SELECT FROM submissions x WHERE x.slice_id = s.slice_id)
    UNION ALL
    SELECT 'doubts' WHERE EXISTS (SELECT FROM doubts x WHERE x.slice_id = s.slice_id)
    UNION ALL
    SELECT 'receipts' WHERE EXISTS (SELECT FROM receipts x WHERE x.slice_id = s.slice_id)
) e
WHERE s.campaign_id = $1 AND s.origin_slice_id IS NOT NULL
ORDER BY s.slice_id
LIMIT 1;

-- name: series
SELECT coalesce(sum(sent), 0)::bigint AS sent, coalesce(sum(delivered), 0)::bigint AS delivered,
       coalesce(sum(failed), 0)::bigint AS failed
FROM campaign_series
WHERE campaign_id = $1;

-- name: hourly
-- Where the hours of a workspace and sender are not the sum of its campaigns; both are written in one commit.
WITH by_campaign AS (
    SELECT c.workspace_id, t.sender, sum(t.sent) AS sent, sum(t.delivered) AS delivered,
           sum(t.failed + t.undelivered) AS failed, sum(t.parts) AS parts
    FROM campaign_stats t
    JOIN campaigns c USING (campaign_id)
    GROUP BY c.workspace_id, t.sender
), by_hour AS (
    SELECT workspace_id, sender, sum(sent) AS sent, sum(delivered) AS delivered, sum(failed) AS failed,
           sum(parts) AS parts
    FROM hourly_stats
    GROUP BY workspace_id, sender
)
SELECT workspace_id, sender,
       coalesce(c.sent, 0)::bigint AS sent, coalesce(h.sent, 0)::bigint AS hourly_sent,
       coalesce(c.delivered, 0)::bigint AS delivered, coalesce(h.delivered, 0)::bigint AS hourly_delivered,
       coalesce(c.failed, 0)::bigint AS failed, coalesce(h.failed, 0)::bigint AS hourly_failed,
       coalesce(c.parts, 0)::bigint AS parts, coalesce(h.parts, 0)::bigint AS hourly_parts
FROM by_campaign c
FULL JOIN by_hour h USING (workspace_id, sender)
WHERE (coalesce(c.sent, 0), coalesce(c.delivered, 0), coalesce(c.failed, 0), coalesce(c.parts, 0))
      <> (coalesce(h.sent, 0), coalesce(h.delivered, 0), coalesce(h.failed, 0), coalesce(h.parts, 0))
ORDER BY workspace_id, sender;

-- name: wallets
-- What each wallet says, and what transactions, campaigns and parts in doubt say of it.
SELECT w.workspace_id, w.credited, w.free + coalesce(l.free, 0) AS free, coalesce(l.reserved, 0) AS reserved,
       coalesce(l.charged, 0) AS charged, coalesce(t.credited, 0) AS by_transactions, coalesce(h.held, 0) AS held,
       coalesce(s.charged, 0) AS by_campaigns
FROM wallets w
LEFT JOIN LATERAL (SELECT sum(free)::bigint AS free, sum(reserved)::bigint AS reserved, sum(charged)::bigint AS charged
                   FROM wallet_lots WHERE workspace_id = w.workspace_id) l ON true
LEFT JOIN LATERAL (SELECT sum(CASE kind WHEN 'credit' THEN amount ELSE -amount END)::bigint AS credited
                   FROM transactions WHERE workspace_id = w.workspace_id) t ON true
LEFT JOIN LATERAL (SELECT sum(amount)::bigint AS held FROM held_money WHERE workspace_id = w.workspace_id) h ON true
LEFT JOIN LATERAL (SELECT sum(x.charged)::bigint AS charged
                   FROM campaigns c JOIN campaign_stats x USING (campaign_id)
                   WHERE c.workspace_id = w.workspace_id) s ON true
ORDER BY w.workspace_id;

-- name: charged_claims
-- Open claims that reserved something.
SELECT k.claim_id, k.slice_id, k.row_start, k.row_end, k.account_id, k.bind_number, k.workspace_id, k.row_costs,
       s.campaign_id, s.origin_slice_id, s.explicit_rows, s.explicit_parts, s.attempt, s.channel_id
FROM claims k
JOIN slices s USING (slice_id)
WHERE k.closed_at IS NULL AND k.workspace_id IS NOT NULL
ORDER BY k.claim_id;

-- name: costs
-- The first thousand outcomes of up to 50 slices, which the hash of their ids picks.
SELECT x.slice_id, x.row_no, x.part, x.attempt, x.parts, x.status, x.msisdn, x.cost, x.channel_id
FROM (SELECT slice_id FROM slices WHERE campaign_id = $1 AND origin_slice_id IS NULL
      ORDER BY hashint8(slice_id), slice_id LIMIT 50) s
CROSS JOIN LATERAL (SELECT * FROM submissions WHERE slice_id = s.slice_id ORDER BY row_no, part, attempt LIMIT 1000) x;

-- name: ownerless
-- Open claims nobody works on, although a worker lives that should have taken them over: its owner's lease ended, or it
-- stopped, more than $2 seconds ago. With no worker alive they wait for the next start.
SELECT k.claim_id, k.slice_id, k.worker_id, k.epoch, w.epoch AS worker_epoch,
       w.stopped_at IS NOT NULL AS stopped, w.lease_until
FROM claims k
JOIN slices s USING (slice_id)
LEFT JOIN workers w ON w.worker_id = k.worker_id
WHERE k.closed_at IS NULL
  AND ($1::uuid IS NULL OR s.campaign_id = $1)
  AND (w.worker_id IS NULL OR least(w.stopped_at, w.lease_until) < now() - make_interval(secs => $2::float8))
  AND EXISTS (SELECT FROM workers l
              WHERE l.stopped_at IS NULL AND l.lease_until > now()
                AND l.started_at < now() - make_interval(secs => $2::float8))
ORDER BY k.claim_id
LIMIT 1;

-- name: unclosed
-- Slices and claims left open under a campaign that is over and settled.
SELECT s.slice_id, s.state
FROM slices s
WHERE s.campaign_id = $1
  AND (s.state = 'open'
       OR EXISTS (SELECT FROM claims k WHERE k.slice_id = s.slice_id AND k.closed_at IS NULL))
ORDER BY s.slice_id
LIMIT 1;

-- name: sliceless_submissions
-- Evidence of a slice that is none: one look into the key a slice.
WITH RECURSIVE ids AS (
    (SELECT slice_id FROM submissions ORDER BY slice_id LIMIT 1)
    UNION ALL
    SELECT (SELECT x.slice_id FROM submissions x WHERE x.slice_id > ids.slice_id ORDER BY x.slice_id LIMIT 1)
    FROM ids
    WHERE ids.slice_id IS NOT NULL
)
SELECT ids.slice_id FROM ids
WHERE ids.slice_id IS NOT NULL AND NOT EXISTS (SELECT FROM slices s WHERE s.slice_id = ids.slice_id)
LIMIT 1;

-- name: sliceless_doubts
WITH RECURSIVE ids AS (
    (SELECT slice_id FROM doubts ORDER BY slice_id LIMIT 1)
    UNION ALL
    SELECT (SELECT x.slice_id FROM doubts x WHERE x.slice_id > ids.slice_id ORDER BY x.slice_id LIMIT 1)
    FROM ids
    WHERE ids.slice_id IS NOT NULL
)
SELECT ids.slice_id FROM ids
WHERE ids.slice_id IS NOT NULL AND NOT EXISTS (SELECT FROM slices s WHERE s.slice_id = ids.slice_id)
LIMIT 1;

-- name: sliceless_receipts
WITH RECURSIVE ids AS (
    (SELECT slice_id FROM receipts ORDER BY slice_id LIMIT 1)
    UNION ALL
    SELECT (SELECT x.slice_id FROM receipts x WHERE x.slice_id > ids.slice_id ORDER BY x.slice_id LIMIT 1)
    FROM ids
    WHERE ids.slice_id IS NOT NULL
)
SELECT ids.slice_id FROM ids
WHERE ids.slice_id IS NOT NULL AND NOT EXISTS (SELECT FROM slices s WHERE s.slice_id = ids.slice_id)
LIMIT 1;

-- name: lock
SELECT pg_try_advisory_lock(1447382854);

-- name: record
INSERT INTO verify_runs (trigger, started_at, took_s, holds, body) VALUES ($1, $2, $3, $4, $5::text::jsonb)
RETURNING run_id;

-- name: runs
SELECT run_id, body::text AS body FROM verify_runs ORDER BY run_id DESC LIMIT $1;

-- name: due
-- Whether today's daily run at $1 (UTC) is due and not done.
SELECT now() >= d.at AND NOT EXISTS (SELECT FROM verify_runs WHERE trigger = 'daily' AND started_at >= d.at)
FROM (SELECT (((now() AT TIME ZONE 'UTC')::date + $1::time) AT TIME ZONE 'UTC') AS at) d;

-- name: job_error
INSERT INTO job_errors (campaign_id, code, detail) VALUES ($1, 'verify', $2);

-- name: forget_runs
DELETE FROM verify_runs WHERE started_at < now() - interval '400 days';
