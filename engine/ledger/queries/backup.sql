-- name: tables
-- Quoted names of the user's tables.
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public'
ORDER BY 1;

-- name: export
SELECT pg_export_snapshot();

-- name: end_workers
UPDATE workers SET stopped_at = now() WHERE stopped_at IS NULL;

-- name: stop
INSERT INTO stops (stop_id, scope, reason, decision_id) VALUES ($1, 'everything', $2, $3);
