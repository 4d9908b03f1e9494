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
-- Those that have no other channel.
UPDATE campaigns c SET reason = $2
WHERE state = 'Sending'
  AND EXISTS (SELECT FROM legs l WHERE l.campaign_id = c.campaign_id AND l.channel_ids = ARRAY[$1::int])
RETURNING campaign_id;

-- name: reset
UPDATE channels SET tripped_at = NULL, tripped_reason = '' WHERE name = $1 RETURNING channel_id;

-- name: go_on
UPDATE campaigns c SET reason = ''
WHERE state = 'Sending' AND reason LIKE 'channel tripped: %'
  AND EXISTS (SELECT FROM legs l WHERE l.campaign_id = c.campaign_id AND $1::int = ANY (l.channel_ids));
