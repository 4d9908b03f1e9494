-- name: replayed
INSERT INTO receipt_journals (journal_id, replayed_to, worker_id) VALUES ($1, $2, $3)
ON CONFLICT (journal_id) DO UPDATE
SET replayed_to = excluded.replayed_to, worker_id = excluded.worker_id, updated_at = now();

-- name: replayed_to
SELECT replayed_to FROM receipt_journals WHERE journal_id = $1;

-- name: last_batch
-- Waits for a commit of a dead process that the server still works on.
SELECT last_batch FROM workers WHERE worker_id = $1 FOR UPDATE;
