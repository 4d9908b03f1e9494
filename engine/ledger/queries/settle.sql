-- name: candidates
-- A row for each channel that its messages may have gone over.
SELECT c.campaign_id, c.state, coalesce(c.done_at, c.created_at) AS ended_at, c.options,
       coalesce(ch.settings, '{}') AS settings, coalesce(a.settings, '{}') AS account_settings
FROM campaigns c
LEFT JOIN LATERAL (SELECT DISTINCT unnest(l.channel_ids) AS channel_id
                   FROM legs l WHERE l.campaign_id = c.campaign_id) l ON true
LEFT JOIN channels ch ON ch.channel_id = l.channel_id
LEFT JOIN accounts a USING (account_id)
WHERE c.state IN ('Done', 'Cancelled', 'Failed', 'Expired')
  AND c.settled_at IS NULL
  AND NOT EXISTS (SELECT FROM claims k JOIN slices s USING (slice_id)
                  WHERE s.campaign_id = c.campaign_id AND k.closed_at IS NULL);

-- name: close_slices
-- Nothing is left to claim or to answer of them: two who closed their last claims at once saw each other's still open.
UPDATE slices s SET state = 'done'
WHERE s.campaign_id = $1 AND s.state = 'open' AND s.claimed_to = s.row_count
  AND NOT EXISTS (SELECT FROM claims k WHERE k.slice_id = s.slice_id AND k.closed_at IS NULL);

-- name: settle
UPDATE campaigns
SET settled_at = now(), version = version + 1
WHERE campaign_id = $1
  AND settled_at IS NULL
  AND ($2::bigint = 0 OR coalesce(done_at, created_at) < now() - make_interval(secs => $3::float8))
RETURNING campaign_id;
