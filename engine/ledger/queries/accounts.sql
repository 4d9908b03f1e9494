-- name: account_for_update
SELECT * FROM accounts WHERE name = $1 FOR UPDATE;

-- name: upsert_account
INSERT INTO accounts AS a (name, host, port, system_id, password_encrypted, system_type, bind_mode, tps, binds,
                           window_size)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (name) DO UPDATE
SET host = excluded.host, port = excluded.port, system_id = excluded.system_id,
    password_encrypted = excluded.password_encrypted, system_type = excluded.system_type,
    bind_mode = excluded.bind_mode, tps = excluded.tps, binds = excluded.binds, window_size = excluded.window_size,
    version = a.version + 1, updated_at = now()
RETURNING account_id;

-- name: accounts
SELECT * FROM accounts ORDER BY account_id;

-- name: upsert_channel
INSERT INTO channels AS c (name, account_id, settings)
SELECT $1, account_id, $3::jsonb FROM accounts WHERE name = $2
ON CONFLICT (name) DO UPDATE
SET account_id = excluded.account_id, settings = excluded.settings,
    version = c.version + (c.account_id <> excluded.account_id OR c.settings <> excluded.settings)::int,
    updated_at = now()
RETURNING channel_id;

-- name: channels
SELECT c.*, a.name AS account, a.tps
FROM channels c
LEFT JOIN accounts a USING (account_id)
ORDER BY c.channel_id;

-- name: binds
SELECT b.*, a.name AS account, a.window_size
FROM binds b
JOIN accounts a USING (account_id)
ORDER BY b.account_id, b.number;
