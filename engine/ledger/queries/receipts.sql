-- name: rules
SELECT account_id, settings, learned FROM accounts;

-- name: learned_for_update
SELECT learned FROM accounts WHERE account_id = $1 FOR UPDATE;

-- name: store_learned
UPDATE accounts SET learned = $2::jsonb WHERE account_id = $1;

-- name: lock_heirs
-- Shared by who matches orphans, exclusive for who inherits: nobody counts a message that another holds in memory.
SELECT CASE WHEN $1 THEN pg_advisory_xact_lock(1128353102, 0) ELSE pg_advisory_xact_lock_shared(1128353102, 0) END;

-- name: inherit
-- The messages of dead workers belong to this one, which is about to load their ids; unless a live one has them.
UPDATE workers w SET heir = $1
WHERE w.worker_id <> $1
  AND w.stopped_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM workers h WHERE h.worker_id = w.heir AND h.stopped_at IS NULL);
