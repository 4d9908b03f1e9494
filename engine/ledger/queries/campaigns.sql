-- name: channel
SELECT channel_id FROM channels WHERE name = $1 AND enabled;

-- name: upload
SELECT state, digest, accepted FROM uploads WHERE upload_id = $1 AND workspace_id = $2 FOR SHARE;

-- name: seal
INSERT INTO manifests (manifest_hash, campaign_id, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: create
-- Anew, or over one that was returned.
INSERT INTO campaigns AS c (campaign_id, workspace_id, name, channel_id, sender, sender_revision_id, text, upload_id,
                            manifest_hash, accepted, options, in_doubt, category, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'Pending')
ON CONFLICT (campaign_id) DO UPDATE
SET name = excluded.name, channel_id = excluded.channel_id, sender = excluded.sender,
    sender_revision_id = excluded.sender_revision_id, text = excluded.text, upload_id = excluded.upload_id,
    manifest_hash = excluded.manifest_hash, accepted = excluded.accepted, options = excluded.options,
    in_doubt = excluded.in_doubt, category = excluded.category, state = 'Pending', reason = '',
    version = c.version + 1
WHERE c.state = 'Returned' AND c.workspace_id = excluded.workspace_id
RETURNING campaign_id;

-- name: forget_legs
DELETE FROM legs WHERE campaign_id = $1;

-- name: only_leg
-- Of a campaign that names its channel: all its rows.
INSERT INTO legs (campaign_id, leg_no, channel_ids) VALUES ($1, 0, ARRAY[$2::int]);

-- name: lane
UPDATE campaigns SET lane = $2 WHERE campaign_id = $1;

-- name: for_update
SELECT c.*, coalesce(ch.name, '') AS channel, u.digest, u.accepted AS upload_accepted
FROM campaigns c
LEFT JOIN channels ch USING (channel_id)
JOIN uploads u USING (upload_id)
WHERE c.campaign_id = $1
FOR UPDATE OF c;

-- name: manifest_parts
SELECT c.*, coalesce(ch.name, '') AS channel, u.digest, u.accepted AS upload_accepted
FROM campaigns c
LEFT JOIN channels ch USING (channel_id)
JOIN uploads u USING (upload_id)
WHERE c.campaign_id = $1;

-- name: move
UPDATE campaigns
SET state = $3, reason = $4, version = version + 1,
    started_at = CASE WHEN $3 = 'Sending' THEN coalesce(started_at, now()) ELSE started_at END,
    done_at = CASE WHEN $3 = 'Cancelled' THEN now() ELSE done_at END
WHERE campaign_id = $1 AND version = $2
RETURNING campaign_id;

-- name: view
SELECT c.campaign_id, c.workspace_id, c.name, coalesce(ch.name, '') AS channel, c.sender, c.text, c.upload_id, c.manifest_hash,
       c.state, c.reason, c.options, c.in_doubt AS doubt_policy, c.lane, c.category, c.accepted,
       c.created_at, c.started_at, c.done_at, c.settled_at, s.*
FROM campaigns c
LEFT JOIN channels ch USING (channel_id)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(sent), 0)::bigint AS sent,
           coalesce(sum(delivered), 0)::bigint AS delivered,
           coalesce(sum(undelivered), 0)::bigint AS undelivered,
           coalesce(sum(no_receipt), 0)::bigint AS no_receipt,
           coalesce(sum(failed), 0)::bigint AS failed,
           coalesce(sum(blocked), 0)::bigint AS blocked,
           coalesce(sum(expired), 0)::bigint AS expired,
           coalesce(sum(cancelled), 0)::bigint AS cancelled,
           coalesce(sum(in_doubt), 0)::bigint AS in_doubt,
           coalesce(sum(submissions), 0)::bigint AS submissions,
           coalesce(sum(parts), 0)::bigint AS parts,
           coalesce(sum(throttled), 0)::bigint AS throttled,
           coalesce(sum(retried), 0)::bigint AS retried,
           coalesce(sum(receipts), 0)::bigint AS receipts,
           coalesce(sum(charged), 0)::bigint AS charged
    FROM campaign_stats
    WHERE campaign_id = c.campaign_id
) s
WHERE c.campaign_id = ANY ($1::uuid[]);

-- name: fail
UPDATE campaigns
SET state = 'Failed', reason = $2, version = version + 1, done_at = now()
WHERE campaign_id = $1 AND state IN ('Pending', 'Sending', 'Paused')
RETURNING campaign_id;

-- name: finish
UPDATE campaigns c
SET state = 'Done', reason = '', version = version + 1, done_at = now()
WHERE c.campaign_id = $1
  AND c.state = 'Sending'
  AND EXISTS (SELECT FROM legs l WHERE l.campaign_id = c.campaign_id)
  AND NOT EXISTS (SELECT FROM legs l JOIN recipient_chunks r ON r.upload_id = c.upload_id AND r.chunk_no >= l.next_chunk
                  WHERE l.campaign_id = c.campaign_id)
  AND NOT EXISTS (SELECT FROM slices s
                  WHERE s.campaign_id = c.campaign_id AND s.state = 'open' AND s.claimed_to < s.row_count)
  AND NOT EXISTS (SELECT FROM claims k JOIN slices s USING (slice_id)
                  WHERE s.campaign_id = c.campaign_id AND k.closed_at IS NULL)
RETURNING c.campaign_id;

-- name: lock_cancelled
SELECT campaign_id FROM campaigns WHERE campaign_id = $1 AND state IN ('Cancelled', 'Failed', 'Expired') FOR UPDATE;

-- name: cancel_slices
UPDATE slices SET state = CASE WHEN claimed_to = row_count THEN 'done' ELSE 'cancelled' END
WHERE campaign_id = $1 AND state = 'open';

-- name: count_cancelled
WITH due AS (
    SELECT c.campaign_id, c.sender,
           c.accepted
           - (SELECT coalesce(sum(s.claimed_to), 0) FROM slices s
              WHERE s.campaign_id = c.campaign_id AND s.origin_slice_id IS NULL)
           - (SELECT coalesce(sum(t.cancelled), 0) FROM campaign_stats t WHERE t.campaign_id = c.campaign_id)
             AS rows
    FROM campaigns c
    WHERE c.campaign_id = $1
)
INSERT INTO campaign_stats AS t (campaign_id, worker_id, sender, cancelled)
SELECT campaign_id, $2, sender, rows FROM due WHERE rows <> 0
ON CONFLICT (campaign_id, worker_id, sender) DO UPDATE SET cancelled = t.cancelled + excluded.cancelled
RETURNING (SELECT rows FROM due)::bigint;
