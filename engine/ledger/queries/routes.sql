-- name: routes
SELECT r.*, coalesce(c.channels, '[]') AS channels
FROM routes r
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('channel', ch.name, 'tier', rc.tier, 'weight', rc.weight)
                     ORDER BY rc.tier, rc.weight DESC, ch.name) AS channels
    FROM route_channels rc
    JOIN channels ch USING (channel_id)
    WHERE rc.route_id = r.route_id
) c ON true
ORDER BY r.prefix, r.position, r.route_id;

-- name: for_update
SELECT version FROM routes WHERE route_id = $1 FOR UPDATE;

-- name: insert
INSERT INTO routes (name, position, prefix, workspace_id, category, sender_kind, lane, enabled)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (name) DO NOTHING
RETURNING route_id;

-- name: update
UPDATE routes
SET name = $2, position = $3, prefix = $4, workspace_id = $5, category = $6, sender_kind = $7, lane = $8, enabled = $9,
    version = version + 1, updated_at = now()
WHERE route_id = $1 AND NOT EXISTS (SELECT FROM routes o WHERE o.name = $2 AND o.route_id <> $1)
RETURNING route_id;

-- name: delete
DELETE FROM routes WHERE route_id = $1;

-- name: clear_channels
DELETE FROM route_channels WHERE route_id = $1;

-- name: add_channels
INSERT INTO route_channels (route_id, tier, channel_id, weight)
SELECT $1, u.tier, c.channel_id, u.weight
FROM unnest($2::text[], $3::smallint[], $4::smallint[]) AS u (name, tier, weight)
JOIN channels c USING (name);

-- name: unknown_channels
SELECT u.name FROM unnest($1::text[]) AS u (name)
WHERE NOT EXISTS (SELECT FROM channels c WHERE c.name = u.name)
ORDER BY u.name;

-- name: candidates
-- Enabled routes that fit a message's workspace, category, sender kind and lane, with the channels that may send:
-- the most specific first, whatever their prefix.
SELECT r.route_id, r.name, r.prefix, rc.tier, rc.channel_id, rc.weight, ch.name AS channel
FROM routes r
JOIN route_channels rc USING (route_id)
JOIN channels ch USING (channel_id)
JOIN accounts a USING (account_id)
WHERE r.enabled
  AND (r.workspace_id IS NULL OR r.workspace_id = $1)
  AND (r.category IS NULL OR r.category = $2)
  AND (r.sender_kind IS NULL OR r.sender_kind = $3)
  AND (r.lane IS NULL OR r.lane = $4)
ORDER BY (r.workspace_id IS NOT NULL)::int + (r.category IS NOT NULL)::int + (r.sender_kind IS NOT NULL)::int
             + (r.lane IS NOT NULL)::int DESC,
         r.position, r.route_id, rc.tier, rc.channel_id;

-- name: unusable
-- Channels that nothing can be sent over now, and why. A channel whose binds are all down is one only after
-- `$1` seconds: a short break is waited for, and while no engine has run that long they may bind for the first time.
SELECT ch.channel_id,
       CASE WHEN NOT ch.enabled THEN 'channel disabled'
            WHEN NOT a.enabled THEN 'account disabled'
            WHEN a.drained THEN 'drained'
            WHEN ch.tripped_at IS NOT NULL THEN 'breaker open'
            ELSE 'no bind' END AS reason
FROM channels ch
JOIN accounts a USING (account_id)
WHERE NOT ch.enabled OR NOT a.enabled OR a.drained OR ch.tripped_at IS NOT NULL
   OR (NOT EXISTS (SELECT FROM binds b
                   WHERE b.account_id = a.account_id
                     AND CASE WHEN b.state = 'bound' THEN coalesce(b.live_at, b.changed_at)
                              ELSE coalesce(b.down_since, b.changed_at) END
                         > now() - make_interval(secs => $1::float8))
       AND EXISTS (SELECT FROM workers w
                   WHERE w.stopped_at IS NULL AND w.lease_until > now()
                     AND w.started_at < now() - make_interval(secs => $1::float8)));
