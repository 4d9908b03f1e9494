-- name: lock
-- Tries of one account are given out one after another.
SELECT version, CASE WHEN refused_version = version THEN refused ELSE 0 END AS refused
FROM accounts
WHERE account_id = $1
FOR NO KEY UPDATE;

-- name: forget
-- Of workers that ended, and of binds that no timeout lets last so long.
DELETE FROM bind_tries t
USING workers w
WHERE t.account_id = $1 AND w.worker_id = t.worker_id
  AND (w.stopped_at IS NOT NULL OR t.began_at < now() - interval '5 minutes');

-- name: take
-- One worker never holds all of several: where its binds hang, another's may go through.
INSERT INTO bind_tries (account_id, version, worker_id)
SELECT $1, $2, $3
WHERE (SELECT count(*) FROM bind_tries WHERE account_id = $1) < $4
  AND (SELECT count(*) FROM bind_tries WHERE account_id = $1 AND worker_id = $3) < greatest($4 - 1, 1)
RETURNING try_id;

-- name: settle
DELETE FROM bind_tries WHERE try_id = $1 RETURNING account_id, version;

-- name: accepted
UPDATE accounts SET refused = 0 WHERE account_id = $1 AND refused <> 0;

-- name: refused
UPDATE accounts
SET refused = CASE WHEN refused_version = version THEN refused ELSE 0 END + 1, refused_version = version
WHERE account_id = $1 AND version = $2;
