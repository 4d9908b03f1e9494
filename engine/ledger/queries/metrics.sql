-- name: ledger
-- Of all workers: rows that may be claimed, and messages whose fate nobody knows.
SELECT (SELECT coalesce(sum(s.row_count - s.claimed_to), 0)
        FROM slices s JOIN campaigns c USING (campaign_id)
        WHERE s.state = 'open' AND c.state = 'Sending')::bigint AS unclaimed,
       (SELECT coalesce(sum(in_doubt), 0) FROM campaign_stats)::bigint AS in_doubt;
