-- name: open
INSERT INTO wallets (workspace_id, currency) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING workspace_id;

-- name: lock
-- Not against foreign keys: whoever has its own lot locked inserts a claim that names the wallet.
SELECT currency, free FROM wallets WHERE workspace_id = $1 FOR NO KEY UPDATE;

-- name: credit
UPDATE wallets SET free = free + $2, credited = credited + $2 WHERE workspace_id = $1;

-- name: gather
-- What workers hold free of this wallet goes back into it. The wallet's row is locked: one gathers at a time.
WITH taken AS (
    SELECT worker_id, free FROM wallet_lots WHERE workspace_id = $1 AND free <> 0 ORDER BY worker_id FOR UPDATE
), emptied AS (
    UPDATE wallet_lots l SET free = 0 FROM taken t WHERE l.workspace_id = $1 AND l.worker_id = t.worker_id
)
UPDATE wallets SET free = free + (SELECT coalesce(sum(free), 0) FROM taken) WHERE workspace_id = $1 RETURNING free;

-- name: add_transaction
INSERT INTO transactions (workspace_id, kind, amount, note, actor, decision_id) VALUES ($1, $2, $3, $4, $5, $6);

-- name: transactions
SELECT transaction_id, kind, amount, note, actor, happened_at
FROM transactions
WHERE workspace_id = $1 AND transaction_id < $2
ORDER BY transaction_id DESC
LIMIT $3;

-- name: wallets
SELECT w.workspace_id, w.currency, w.credited, w.opened_at,
       w.free + coalesce(l.free, 0) AS balance, coalesce(l.reserved, 0) AS reserved, coalesce(l.charged, 0) AS charged
FROM wallets w
LEFT JOIN LATERAL (SELECT sum(free)::bigint AS free, sum(reserved)::bigint AS reserved, sum(charged)::bigint AS charged
                   FROM wallet_lots WHERE workspace_id = w.workspace_id) l ON true
WHERE $1::uuid IS NULL OR w.workspace_id = $1
ORDER BY w.workspace_id;

-- name: reserve
-- From the worker's own lot, where it holds enough. A statement that finds too little locks nothing.
UPDATE wallet_lots SET free = free - $3, reserved = reserved + $3
WHERE workspace_id = $1 AND worker_id = $2 AND free >= $3
RETURNING free;

-- name: draw
-- Into the worker's lot. The wallet's row is locked and holds as much.
WITH drawn AS (
    UPDATE wallets SET free = free - $3 WHERE workspace_id = $1
)
INSERT INTO wallet_lots AS l (workspace_id, worker_id, free) VALUES ($1, $2, $3)
ON CONFLICT (workspace_id, worker_id) DO UPDATE SET free = l.free + excluded.free;

-- name: book
INSERT INTO wallet_lots AS l (workspace_id, worker_id, free, reserved, charged)
SELECT u.workspace_id, $1, u.free, u.reserved, u.charged
FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[]) AS u (workspace_id, free, reserved, charged)
ORDER BY u.workspace_id
ON CONFLICT (workspace_id, worker_id) DO UPDATE SET
    free = l.free + excluded.free, reserved = l.reserved + excluded.reserved, charged = l.charged + excluded.charged;

-- name: lots_to_give_back
-- Wallets before lots, as everywhere.
SELECT w.workspace_id FROM wallets w
WHERE EXISTS (SELECT FROM wallet_lots l JOIN workers k USING (worker_id)
              WHERE l.workspace_id = w.workspace_id AND l.free <> 0 AND k.stopped_at IS NOT NULL)
ORDER BY w.workspace_id
FOR NO KEY UPDATE;

-- name: give_back_lots
-- Of workers that ended: what they hold free goes back to the wallets.
WITH ended AS (
    SELECT l.workspace_id, l.worker_id, l.free
    FROM wallet_lots l
    JOIN workers w USING (worker_id)
    WHERE w.stopped_at IS NOT NULL AND l.free <> 0
    ORDER BY l.workspace_id, l.worker_id
    FOR UPDATE OF l SKIP LOCKED
), emptied AS (
    UPDATE wallet_lots l SET free = 0 FROM ended e
    WHERE l.workspace_id = e.workspace_id AND l.worker_id = e.worker_id
)
UPDATE wallets w SET free = w.free + e.free
FROM (SELECT workspace_id, sum(free)::bigint AS free FROM ended GROUP BY workspace_id) e
WHERE w.workspace_id = e.workspace_id
RETURNING w.workspace_id;

-- name: publish
INSERT INTO rate_sheets (valid_from, note) VALUES (coalesce($1, now()), $2) RETURNING version, valid_from;

-- name: add_rates
INSERT INTO rates (version, prefix, channel_id, category, price)
SELECT $1, u.prefix, c.channel_id, nullif(u.category, ''), u.price
FROM unnest($2::text[], $3::text[], $4::text[], $5::int[]) AS u (prefix, channel, category, price)
LEFT JOIN channels c ON c.name = u.channel;

-- name: unknown_channels
SELECT DISTINCT u.name FROM unnest($1::text[]) AS u (name)
WHERE u.name <> '' AND NOT EXISTS (SELECT FROM channels c WHERE c.name = u.name)
ORDER BY u.name;

-- name: sheets
SELECT s.version, s.valid_from, s.note, s.created_at, count(r.version) AS rates
FROM rate_sheets s
LEFT JOIN rates r USING (version)
GROUP BY s.version
ORDER BY s.version DESC;

-- name: sheet_rates
SELECT r.prefix, coalesce(c.name, '') AS channel, coalesce(r.category, '') AS category, r.price
FROM rates r
LEFT JOIN channels c USING (channel_id)
WHERE r.version = $1
ORDER BY r.prefix, c.name NULLS FIRST, r.category NULLS FIRST;

-- name: version_now
SELECT version FROM rate_sheets WHERE valid_from <= now() ORDER BY valid_from DESC, version DESC LIMIT 1;

-- name: effective
-- One price a prefix: channel and category before channel before category before neither.
SELECT DISTINCT ON (prefix) prefix, price
FROM rates
WHERE version = $1 AND (channel_id IS NULL OR channel_id = $2) AND (category IS NULL OR category = $3)
ORDER BY prefix, channel_id NULLS LAST, category NULLS LAST;

-- name: lock_lots
-- The worker's own, in order; made where they are not there yet.
INSERT INTO wallet_lots (workspace_id, worker_id)
SELECT id, $2 FROM unnest($1::uuid[]) AS id ORDER BY id
ON CONFLICT (workspace_id, worker_id) DO UPDATE SET free = wallet_lots.free;

-- name: choose_list
-- Whether a campaign is charged is decided once, before anything of it is released.
UPDATE campaigns c SET rate_version = $2
WHERE c.campaign_id = $1 AND c.rate_version IS NULL
  AND NOT EXISTS (SELECT FROM slices s WHERE s.campaign_id = c.campaign_id AND s.channel_id IS NOT NULL)
  AND EXISTS (SELECT FROM wallets w WHERE w.workspace_id = c.workspace_id)
RETURNING rate_version;

-- name: chosen_list
SELECT c.rate_version, c.category, c.workspace_id,
       c.rate_version IS NULL
       AND NOT EXISTS (SELECT FROM slices s WHERE s.campaign_id = c.campaign_id AND s.channel_id IS NOT NULL)
       AND EXISTS (SELECT FROM wallets w WHERE w.workspace_id = c.workspace_id) AS to_choose
FROM campaigns c
WHERE c.campaign_id = $1;

-- name: pause
UPDATE campaigns SET state = 'Paused', reason = $2, version = version + 1
WHERE campaign_id = $1 AND state = 'Sending'
RETURNING campaign_id;

-- name: pause_unpaid
UPDATE campaigns SET state = 'Paused', reason = $2, awaits_money = $3, version = version + 1
WHERE campaign_id = $1 AND state = 'Sending'
RETURNING campaign_id;

-- name: payable
-- Campaigns that waited for money or for a price list, and have it: a refund came back, a list counts now.
UPDATE campaigns c SET state = 'Sending', reason = '', version = version + 1
WHERE c.state = 'Paused'
  AND (c.reason = 'no price list' AND EXISTS (SELECT FROM rate_sheets WHERE valid_from <= now())
       OR c.reason = 'no balance'
          AND c.awaits_money <= (SELECT w.free + (SELECT coalesce(sum(l.free), 0) FROM wallet_lots l
                                                  WHERE l.workspace_id = w.workspace_id)
                                 FROM wallets w WHERE w.workspace_id = c.workspace_id))
RETURNING c.campaign_id;

-- name: go_on
-- What waits for money only.
UPDATE campaigns SET state = 'Sending', reason = '', version = version + 1
WHERE workspace_id = $1 AND state = 'Paused' AND reason = $2;

-- name: hold
INSERT INTO held_money AS h (slice_id, row_no, part, workspace_id, amount)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::smallint[], $4::uuid[], $5::bigint[])
ON CONFLICT (slice_id, row_no, part) DO UPDATE SET amount = h.amount + excluded.amount;

-- name: take_holds
DELETE FROM held_money h
USING unnest($1::bigint[], $2::int[], $3::smallint[]) AS u (slice_id, row_no, part)
WHERE h.slice_id = u.slice_id AND h.row_no = u.row_no AND h.part = u.part
RETURNING h.slice_id, h.row_no, h.part, h.workspace_id, h.amount;

-- name: holds_of
SELECT h.slice_id, h.row_no, h.part, h.amount
FROM held_money h
JOIN unnest($1::bigint[], $2::int[]) AS u (slice_id, row_no) USING (slice_id, row_no)
ORDER BY h.slice_id, h.row_no, h.part
FOR UPDATE OF h;

-- name: lower_hold
UPDATE held_money SET amount = $4 WHERE slice_id = $1 AND row_no = $2 AND part = $3;

-- name: any_hold
SELECT EXISTS (SELECT FROM held_money);

-- name: take_decided_holds
-- Of messages that have their last word without these parts. For a while a late answer may still want the money.
WITH old AS MATERIALIZED (
    SELECT h.slice_id, h.row_no
    FROM held_money h
    WHERE NOT EXISTS (SELECT FROM doubts d
                      WHERE d.slice_id = h.slice_id AND d.row_no = h.row_no
                        AND d.doubted_at > now() - make_interval(secs => $1::float8))
    GROUP BY h.slice_id, h.row_no
    LIMIT 10000
), keys AS (
    SELECT coalesce(array_agg(slice_id), '{}') AS slice_ids, coalesce(array_agg(row_no), '{}') AS row_nos,
           coalesce(array_agg(false), '{}') AS tally
    FROM old
), decided AS MATERIALIZED (
    SELECT m.slice_id, m.row_no FROM keys k, message_states(k.slice_ids, k.row_nos, k.tally) m
    WHERE m.state NOT IN (0, 6)
)
DELETE FROM held_money h USING decided d
WHERE h.slice_id = d.slice_id AND h.row_no = d.row_no
RETURNING h.workspace_id, h.amount;
