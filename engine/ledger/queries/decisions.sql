-- name: take
INSERT INTO decisions (decision_id, command, body_hash, answer)
VALUES ($1, $2, $3, '{}')
ON CONFLICT DO NOTHING
RETURNING decision_id;

-- name: stored
SELECT command, body_hash, answer FROM decisions WHERE decision_id = $1;

-- name: answer
UPDATE decisions SET answer = $2 WHERE decision_id = $1;
