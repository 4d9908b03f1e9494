-- name: account_for_update
SELECT * FROM accounts WHERE name = $1 FOR UPDATE;

-- name: account
SELECT * FROM accounts WHERE name = $1;

-- name: accounts
SELECT * FROM accounts ORDER BY account_id;

-- name: insert_account
INSERT INTO accounts (name, host, port, system_id, password_encrypted, system_type, bind_mode, interface_version, tps,
                      binds, window_size, settings, secrets_encrypted, enabled)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::jsonb, $13, $14)
ON CONFLICT (name) DO NOTHING
RETURNING *;

-- name: update_account
UPDATE accounts
SET host = $2, port = $3, system_id = $4, password_encrypted = $5, system_type = $6, bind_mode = $7,
    interface_version = $8, tps = $9, binds = $10, window_size = $11, settings = $12::jsonb, secrets_encrypted = $13,
    enabled = $14, version = version + 1, updated_at = now()
WHERE name = $1
RETURNING *;

-- name: upsert_channel
INSERT INTO channels AS c (name, account_id, settings)
SELECT $1, account_id, $3::jsonb FROM accounts WHERE name = $2
ON CONFLICT (name) DO UPDATE
SET account_id = excluded.account_id, settings = excluded.settings,
    version = c.version + (c.account_id <> excluded.account_id OR c.settings <> excluded.settings)::int,
    updated_at = now()
RETURNING channel_id;

-- name: insert_channel
INSERT INTO channels (name, account_id, settings, enabled)
SELECT $1, account_id, $3::jsonb, $4 FROM accounts WHERE name = $2
ON CONFLICT (name) DO NOTHING
RETURNING channel_id;

-- name: channel_for_update
SELECT c.*, a.name AS account FROM channels c LEFT JOIN accounts a USING (account_id) WHERE c.name = $1 FOR UPDATE OF c;

-- name: update_channel
UPDATE channels c
SET account_id = a.account_id, settings = $3::jsonb, enabled = $4, version = c.version + 1, updated_at = now()
FROM accounts a
WHERE c.name = $1 AND a.name = $2
RETURNING c.channel_id;

-- name: channels
SELECT c.*, a.name AS account, a.tps, a.enabled AS account_enabled
FROM channels c
LEFT JOIN accounts a USING (account_id)
ORDER BY c.channel_id;

-- name: binds
SELECT b.*, a.name AS account, a.window_size, a.bind_mode, a.binds, w.name AS worker, c.drained
FROM binds b
JOIN accounts a USING (account_id)
LEFT JOIN workers w USING (worker_id)
LEFT JOIN bind_controls c ON c.account_id = b.account_id AND c.number = b.number
ORDER BY b.account_id, b.number;
