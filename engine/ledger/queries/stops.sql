-- name: create
INSERT INTO stops (stop_id, scope, workspace_id, channel_id, reason, decision_id, made_by)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: channel
SELECT channel_id FROM channels WHERE name = $1;

-- name: lift
UPDATE stops SET lifted_at = coalesce(lifted_at, now()) WHERE stop_id = $1 RETURNING stop_id;

-- name: one
SELECT p.*, ch.name AS channel FROM stops p LEFT JOIN channels ch USING (channel_id) WHERE p.stop_id = $1;

-- name: all
SELECT p.*, ch.name AS channel
FROM stops p
LEFT JOIN channels ch USING (channel_id)
ORDER BY p.lifted_at IS NOT NULL, coalesce(p.lifted_at, p.stopped_at) DESC
LIMIT $1;

-- name: open
SELECT scope, workspace_id, channel_id, reason FROM stops WHERE lifted_at IS NULL;

-- name: covering
SELECT reason
FROM stops
WHERE lifted_at IS NULL AND (scope = 'everything' OR workspace_id = $1 OR channel_id = $2)
ORDER BY stopped_at
LIMIT 1;

-- name: reasons
-- What stands beside the campaigns: the oldest stop that covers them. Lifted: nothing, the dispatcher says what else.
UPDATE campaigns c
SET reason = coalesce(w.text, '')
FROM (
    SELECT s.campaign_id, s.reason,
           (SELECT 'stopped' || CASE WHEN p.reason = '' THEN '' ELSE ': ' || p.reason END
            FROM stops p
            WHERE p.lifted_at IS NULL
              AND (p.scope = 'everything' OR p.workspace_id = s.workspace_id OR p.channel_id = s.channel_id
                   OR s.channel_id IS NULL
                      AND EXISTS (SELECT FROM legs l
                                  WHERE l.campaign_id = s.campaign_id
                                    AND p.channel_id = (
                                        SELECT u.id
                                        FROM unnest(l.channel_ids) WITH ORDINALITY AS u (id, place)
                                        JOIN channels h ON h.channel_id = u.id
                                        JOIN accounts a USING (account_id)
                                        WHERE h.enabled AND a.enabled AND NOT a.drained AND h.tripped_at IS NULL
                                        ORDER BY u.place
                                        LIMIT 1)))
            ORDER BY p.stopped_at
            LIMIT 1) AS text
    FROM campaigns s
    WHERE s.state = 'Sending'
) w
WHERE c.campaign_id = w.campaign_id AND c.state = 'Sending'
  AND CASE WHEN w.text IS NULL THEN w.reason = 'stopped' OR w.reason LIKE 'stopped: %' ELSE w.reason <> w.text END;
