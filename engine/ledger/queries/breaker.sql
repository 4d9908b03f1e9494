-- name: pause
UPDATE campaigns SET state = 'Paused', reason = $2, version = version + 1
WHERE campaign_id = $1 AND state = 'Sending'
RETURNING campaign_id;

-- name: job_error
INSERT INTO job_errors (campaign_id, code, detail) SELECT id, 'breaker', $2 FROM unnest($1::uuid[]) AS id;

-- name: trip
UPDATE channels SET tripped_at = now(), tripped_reason = $2 WHERE channel_id = $1 AND tripped_at IS NULL
RETURNING channel_id;

-- name: waiting
UPDATE campaigns SET reason = $2 WHERE channel_id = $1 AND state = 'Sending' RETURNING campaign_id;

-- name: reset
UPDATE channels SET tripped_at = NULL, tripped_reason = '' WHERE name = $1 RETURNING channel_id;

-- name: go_on
UPDATE campaigns SET reason = ''
WHERE channel_id = $1 AND state = 'Sending' AND reason LIKE 'channel tripped: %';
