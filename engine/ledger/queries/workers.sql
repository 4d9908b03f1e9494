-- name: live
-- Workers whose lease holds, and how they are.
SELECT worker_id, name, status, in_flight, sent_per_s, delivered_per_s,
       coalesce(live_at > now() - make_interval(secs => $1::float8), false) AS fresh
FROM workers
WHERE stopped_at IS NULL AND lease_until > now()
ORDER BY worker_id;

-- name: standing
-- Not ended and not fenced: among these everything is divided, also where a lease is just late.
SELECT worker_id FROM workers WHERE stopped_at IS NULL ORDER BY worker_id;

-- name: make_shares
INSERT INTO shares (account_id, kind, number)
SELECT a.account_id, wanted.kind, n
FROM accounts a
CROSS JOIN LATERAL (VALUES ('bind', a.binds::integer), ('tps', least(a.tps, $1::integer))) AS wanted (kind, total)
CROSS JOIN LATERAL generate_series(1, wanted.total) AS n
WHERE a.enabled
  AND NOT EXISTS (SELECT FROM shares s
                  WHERE s.account_id = a.account_id AND s.kind = wanted.kind AND s.number = n)
ON CONFLICT DO NOTHING;

-- name: shares
-- With its holder; null is free. A worker that ended let go of everything: its process is dead, or was taken over.
SELECT s.account_id, s.kind, s.number, w.worker_id AS holder
FROM shares s
LEFT JOIN workers w ON w.worker_id = s.worker_id AND w.stopped_at IS NULL
ORDER BY s.account_id, s.kind, s.number;

-- name: take
-- Free ones only, by a worker whose lease holds.
UPDATE shares s
SET worker_id = $1, epoch = me.epoch, lease_until = me.lease_until
FROM unnest($2::int[], $3::text[], $4::smallint[]) AS t (account_id, kind, number), workers me
WHERE s.account_id = t.account_id AND s.kind = t.kind AND s.number = t.number
  AND me.worker_id = $1 AND me.stopped_at IS NULL AND me.lease_until > now()
  AND NOT EXISTS (SELECT FROM workers w WHERE w.worker_id = s.worker_id AND w.stopped_at IS NULL)
RETURNING s.account_id, s.kind, s.number;

-- name: give
UPDATE shares s SET worker_id = NULL
FROM unnest($2::int[], $3::text[], $4::smallint[]) AS t (account_id, kind, number)
WHERE s.account_id = t.account_id AND s.kind = t.kind AND s.number = t.number AND s.worker_id = $1
RETURNING s.account_id, s.kind, s.number;

-- name: let_binds_go
-- Before the lease goes: nobody else writes these rows yet.
UPDATE binds SET worker_id = NULL, state = 'down', reason = '', in_flight = 0, tps_now = 0, tps_limit = 0, changed_at = now(),
                 down_since = coalesce(down_since, now())
WHERE account_id = $2 AND number = ANY ($3::smallint[]) AND worker_id = $1;

-- name: drained_accounts
SELECT account_id FROM accounts WHERE drained;

-- name: bind_controls
SELECT account_id, number, drained, rebind_seq FROM bind_controls;

-- name: drain_account
UPDATE accounts SET drained = $2 WHERE name = $1 RETURNING account_id;

-- name: bind_of
SELECT account_id FROM accounts WHERE name = $1 AND binds >= $2;

-- name: drain_bind
INSERT INTO bind_controls (account_id, number, drained) VALUES ($1, $2, $3)
ON CONFLICT (account_id, number) DO UPDATE SET drained = excluded.drained;

-- name: rebind
INSERT INTO bind_controls AS b (account_id, number, rebind_seq) VALUES ($1, $2, 1)
ON CONFLICT (account_id, number) DO UPDATE SET rebind_seq = b.rebind_seq + 1;

-- name: write_pulse
UPDATE workers SET live_at = now(), status = $2, in_flight = $3, sent_per_s = $4, delivered_per_s = $5
WHERE worker_id = $1;

-- name: write_binds
-- By who holds them.
INSERT INTO binds AS b (account_id, number, worker_id, state, reason, changed_at, live_at, in_flight, tps_now, tps_limit,
                        mode, interface_version, last_error, last_error_at, down_since, tps_set, slowed_by, response_ms)
SELECT u.account_id, u.number, $1, u.state, u.reason, u.changed_at, now(), u.in_flight, u.tps_now, u.tps_limit, u.mode,
       u.interface_version, u.last_error, u.last_error_at, CASE WHEN u.state <> 'bound' THEN now() END,
       u.tps_set, u.slowed_by, u.response_ms
FROM unnest($2::int[], $3::smallint[], $4::text[], $5::text[], $6::timestamptz[], $7::int[], $8::real[], $9::real[],
            $10::text[], $11::smallint[], $12::text[], $13::timestamptz[], $14::real[], $15::text[], $16::real[])
     AS u (account_id, number, state, reason, changed_at, in_flight, tps_now, tps_limit, mode, interface_version,
           last_error, last_error_at, tps_set, slowed_by, response_ms)
ON CONFLICT (account_id, number) DO UPDATE
SET worker_id = excluded.worker_id, state = excluded.state, reason = excluded.reason, changed_at = excluded.changed_at,
    live_at = excluded.live_at, in_flight = excluded.in_flight, tps_now = excluded.tps_now,
    tps_limit = excluded.tps_limit, tps_set = excluded.tps_set, slowed_by = excluded.slowed_by,
    response_ms = excluded.response_ms, mode = excluded.mode, interface_version = excluded.interface_version,
    last_error = CASE WHEN excluded.last_error = '' THEN b.last_error ELSE excluded.last_error END,
    last_error_at = coalesce(excluded.last_error_at, b.last_error_at),
    down_since = CASE WHEN excluded.state <> 'bound' THEN coalesce(b.down_since, now()) END;

-- name: binds
-- As their holders wrote them; a bind that nobody holds is down.
SELECT b.account_id, b.number, a.name AS account, a.window_size, w.worker_id, coalesce(w.name, '') AS worker,
       CASE WHEN w.worker_id IS NULL THEN 'down' ELSE b.state END AS state,
       CASE WHEN w.worker_id IS NULL THEN '' ELSE b.reason END AS reason,
       CASE WHEN w.worker_id IS NULL THEN 0 ELSE b.in_flight END AS in_flight,
       CASE WHEN w.worker_id IS NULL THEN 0 ELSE b.tps_now END AS tps_now,
       CASE WHEN w.worker_id IS NULL THEN 0 ELSE b.tps_limit END AS tps_limit,
       CASE WHEN w.worker_id IS NULL THEN 0 ELSE b.tps_set END AS tps_set,
       CASE WHEN w.worker_id IS NULL THEN '' ELSE b.slowed_by END AS slowed_by,
       CASE WHEN w.worker_id IS NULL THEN NULL ELSE b.response_ms END AS response_ms,
       b.mode, b.interface_version, b.changed_at, b.last_error, b.last_error_at,
       a.drained OR coalesce(k.drained, false) AS drained
FROM binds b
JOIN accounts a USING (account_id)
LEFT JOIN workers w ON w.worker_id = b.worker_id AND w.stopped_at IS NULL AND w.lease_until > now()
LEFT JOIN bind_controls k ON k.account_id = b.account_id AND k.number = (b.number - 1) % a.binds + 1
ORDER BY b.account_id, b.number;

-- name: write_rates
INSERT INTO campaign_rates AS r (campaign_id, worker_id, accepted_per_s)
SELECT u.campaign_id, $1, u.accepted_per_s FROM unnest($2::uuid[], $3::real[]) AS u (campaign_id, accepted_per_s)
ON CONFLICT (campaign_id, worker_id) DO UPDATE SET accepted_per_s = excluded.accepted_per_s, measured_at = now();

-- name: drop_rates
DELETE FROM campaign_rates
WHERE (worker_id = $1 AND NOT (campaign_id = ANY ($2::uuid[]))) OR measured_at < now() - interval '1 minute';

-- name: rates
SELECT campaign_id, sum(accepted_per_s)::float8 AS accepted_per_s
FROM campaign_rates
WHERE worker_id <> $1 AND measured_at > now() - make_interval(secs => $2::float8)
GROUP BY campaign_id;

-- name: set_weight
INSERT INTO workspace_weights (workspace_id, weight) VALUES ($1, $2)
ON CONFLICT (workspace_id) DO UPDATE SET weight = excluded.weight;
