-- name: waiting
-- The hot partitions are those without the id index: submissions of slices since the oldest of them. Those that this
-- worker or a dead one it is the heir of has sent; what a resend sent has its receipts counted by SQL.
SELECT n.*
FROM (
    SELECT s.slice_id, s.row_no, s.part, s.parts, s.account_id, s.smsc_id, s.sent_at, coalesce(s.msisdn, -1) AS msisdn,
           c.campaign_id, c.workspace_id, s.channel_id, c.sender
    FROM submissions s
    JOIN slices l ON l.slice_id = s.slice_id
    JOIN campaigns c ON c.campaign_id = l.campaign_id
    WHERE s.outcome = 0
      AND s.smsc_id <> ''
      AND c.settled_at IS NULL
      AND (s.worker_id IS NULL
           OR s.worker_id IN (SELECT w.worker_id FROM workers w WHERE w.worker_id = $2 OR w.heir = $2))
      AND NOT (s.attempt > 0
               AND EXISTS (SELECT FROM doubts d WHERE d.slice_id = s.slice_id AND d.row_no = s.row_no))
      AND s.slice_id >= (SELECT min((p.day::bigint << 40) | (p.partition_no::bigint << 28))
                         FROM submission_partitions p WHERE p.indexed_at IS NULL)
      AND NOT EXISTS (SELECT FROM receipts r
                      WHERE r.slice_id = s.slice_id AND r.row_no = s.row_no AND r.part = s.part AND r.verdict > 0)
    ORDER BY s.sent_at DESC
    LIMIT $1
) n
ORDER BY n.sent_at;
