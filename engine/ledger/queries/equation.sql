-- name: plan
-- By slice, through the keys: statistics of a table that just grew may say that it is small.
SELECT set_config('enable_seqscan', 'off', true), set_config('work_mem', '64MB', true);

-- name: upload
-- accepted from the chunks themselves.
SELECT u.rows, u.duplicates, u.job_errors,
       coalesce((SELECT sum(r.row_count) FROM recipient_chunks r WHERE r.upload_id = u.upload_id), 0)::bigint
           AS accepted,
       coalesce((SELECT sum(e.count) FROM job_error_counts e WHERE e.upload_id = u.upload_id), 0)::bigint
           AS counted_job_errors
FROM campaigns c
JOIN uploads u USING (upload_id)
WHERE c.campaign_id = $1;

-- name: planned
SELECT coalesce(sum(s.row_count), 0)::bigint AS planned,
       coalesce(sum(s.claimed_to), 0)::bigint AS claimed,
       count(*) FILTER (WHERE s.state = 'open')::bigint AS open_slices,
       count(*) FILTER (WHERE s.row_start < s.previous_end)::bigint AS overlapping
FROM (
    SELECT row_count, claimed_to, state, row_start,
           max(row_start + row_count) OVER (PARTITION BY chunk_no ORDER BY row_start, slice_id
                                            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS previous_end
    FROM slices
    WHERE campaign_id = $1 AND origin_slice_id IS NULL
) s;

-- name: page
-- The next slices, about $3 rows of them and at least one; those of dropped partitions are sealed.
SELECT slice_id, row_count, claimed_to, state, origin_slice_id
FROM (
    SELECT *, sum(row_count) OVER (ORDER BY slice_id) - row_count AS rows_before
    FROM (SELECT slice_id, row_count, claimed_to, state, origin_slice_id
          FROM slices
          WHERE campaign_id = $1 AND slice_id > $2
            AND NOT EXISTS (SELECT FROM submission_partitions p
                            WHERE p.day = slice_id >> 40 AND p.partition_no = (slice_id >> 28) & 4095
                              AND p.dropped_at IS NOT NULL)
          ORDER BY slice_id
          LIMIT 256) f
) n
WHERE rows_before < $3
ORDER BY slice_id;

-- name: messages
-- Every row of evidence of these slices, a slice at a time; one row a slice. Facts are bits: 1 accepted, 2 failed, 4 in doubt, 8 undelivered,
-- 16 delivered, 32 tried. A message of one part has the union of its facts; those of more parts (128) are read again,
-- part by part. 64: the message is in doubt as a whole.
WITH own AS MATERIALIZED (
    SELECT slice_id, claimed_to FROM slices WHERE campaign_id = $1 AND slice_id = ANY ($2::bigint[])
), campaign AS MATERIALIZED (
    SELECT settled_at IS NOT NULL AS settled FROM campaigns WHERE campaign_id = $1
), evidence AS NOT MATERIALIZED (
    SELECT slice_id, row_no, part, parts, CASE outcome WHEN 0 THEN 1 WHEN 1 THEN 2 ELSE 32 END AS fact,
           part = 1 AND parts = 1 AS alone
    FROM submissions
    UNION ALL
    SELECT slice_id, row_no, part, parts, 4, part = 1 AND parts = 1
    FROM doubts
    UNION ALL
    SELECT slice_id, row_no, part, 0::smallint, CASE verdict WHEN 2 THEN 16 WHEN 1 THEN 8 ELSE 0 END, part = 1
    FROM receipts
), by_facts AS MATERIALIZED (
    SELECT own.slice_id, own.claimed_to, b.*
    FROM own
    CROSS JOIN LATERAL (
        SELECT m.facts, count(*) AS messages,
               count(*) FILTER (WHERE m.row_no >= own.claimed_to OR m.row_no < 0) AS outside,
               array_agg(m.row_no) FILTER (WHERE m.facts >= 128) AS row_nos
        FROM (
            SELECT e.row_no,
                   bit_or(CASE WHEN e.alone THEN e.fact WHEN e.part = 0 AND e.fact = 4 THEN 64 ELSE 128 END) AS facts
            FROM evidence e
            WHERE e.slice_id = own.slice_id
            GROUP BY e.row_no
        ) m
        GROUP BY m.facts
    ) b
), by_state AS (
    SELECT b.slice_id, message_state((b.facts & 39 > 0)::int, (b.facts & 1 > 0)::int, (b.facts & 3 = 2)::int,
                         (b.facts & 7 = 4)::int, b.facts & 64 > 0, (b.facts & 24 = 8)::int,
                         (b.facts & 16 > 0)::int, (SELECT settled FROM campaign)) AS state,
           b.messages, b.outside
    FROM by_facts b
    WHERE b.facts < 128
    UNION ALL
    SELECT b.slice_id, m.state, m.messages, m.outside
    FROM (
        SELECT slice_id, claimed_to, array_agg(row_no) AS row_nos
        FROM by_facts
        CROSS JOIN LATERAL unnest(row_nos) AS row_no
        GROUP BY slice_id, claimed_to
    ) b
    CROSS JOIN LATERAL (
        SELECT s.state, count(*) AS messages,
               count(*) FILTER (WHERE s.row_no >= b.claimed_to OR s.row_no < 0) AS outside
        FROM (
            SELECT p.row_no,
                   message_state(max(p.parts)::bigint,
                                 count(*) FILTER (WHERE p.part > 0 AND p.facts & 1 > 0),
                                 count(*) FILTER (WHERE p.part > 0 AND p.facts & 3 = 2),
                                 count(*) FILTER (WHERE p.part > 0 AND p.facts & 7 = 4),
                                 bool_or(p.part = 0 AND p.facts & 4 > 0),
                                 count(*) FILTER (WHERE p.facts & 24 = 8),
                                 count(*) FILTER (WHERE p.facts & 16 > 0),
                                 (SELECT settled FROM campaign)) AS state
            FROM (
                SELECT e.row_no, e.part, max(e.parts) AS parts, bit_or(e.fact) AS facts
                FROM evidence e
                JOIN unnest(b.row_nos) AS k (row_no) USING (row_no)
                WHERE e.slice_id = b.slice_id
                GROUP BY e.row_no, e.part
            ) p
            GROUP BY p.row_no
        ) s
        GROUP BY s.state
    ) m
)
SELECT own.slice_id,
       coalesce(sum(m.messages) FILTER (WHERE m.state IN (1, 2, 3, 4)), 0)::bigint AS sent,
       coalesce(sum(m.messages) FILTER (WHERE m.state = 2), 0)::bigint AS delivered,
       coalesce(sum(m.messages) FILTER (WHERE m.state = 3), 0)::bigint AS undelivered,
       coalesce(sum(m.messages) FILTER (WHERE m.state = 4), 0)::bigint AS no_receipt,
       coalesce(sum(m.messages) FILTER (WHERE m.state = 5), 0)::bigint AS failed,
       coalesce(sum(m.messages) FILTER (WHERE m.state = 6), 0)::bigint AS in_doubt,
       coalesce(sum(m.outside), 0)::bigint AS outside
FROM own
LEFT JOIN by_state m USING (slice_id)
GROUP BY own.slice_id;

-- name: evidence
-- How many rows there are of each kind in these slices.
SELECT coalesce(sum(x.submissions), 0)::bigint AS submissions,
       coalesce(sum(x.parts), 0)::bigint AS parts,
       coalesce(sum(x.retried), 0)::bigint AS retried,
       coalesce(sum(y.receipts), 0)::bigint AS receipts,
       coalesce(sum(x.charged), 0)::bigint AS charged
FROM slices s
CROSS JOIN LATERAL (
    SELECT count(*) AS submissions, count(*) FILTER (WHERE outcome = 0) AS parts,
           count(*) FILTER (WHERE outcome IN (2, 5)) AS retried, sum(cost) FILTER (WHERE outcome = 0) AS charged
    FROM submissions
    WHERE slice_id = s.slice_id
) x
CROSS JOIN LATERAL (SELECT count(*) AS receipts FROM receipts WHERE slice_id = s.slice_id) y
WHERE s.slice_id = ANY ($1::bigint[]);

-- name: sealed
-- What the campaign's dropped partitions held. Receipts may come after the drop: receipts_past has them.
SELECT coalesce(sum(x.sent), 0)::bigint AS sent, coalesce(sum(x.delivered), 0)::bigint AS delivered,
       coalesce(sum(x.undelivered), 0)::bigint AS undelivered, coalesce(sum(x.no_receipt), 0)::bigint AS no_receipt,
       coalesce(sum(x.failed), 0)::bigint AS failed, coalesce(sum(x.in_doubt), 0)::bigint AS in_doubt,
       coalesce(sum(x.submissions), 0)::bigint AS submissions, coalesce(sum(x.parts), 0)::bigint AS parts,
       coalesce(sum(x.retried), 0)::bigint AS retried, coalesce(sum(x.charged), 0)::bigint AS charged,
       coalesce(sum(x.receipts), 0)::bigint
       + (SELECT count(*)
          FROM partition_seals d
          JOIN slices s ON s.campaign_id = d.campaign_id
                       AND s.slice_id >= (d.day::bigint << 40) | (d.partition_no::bigint << 28)
                       AND s.slice_id < (d.day::bigint << 40) | ((d.partition_no + 1)::bigint << 28)
          JOIN receipts r ON r.slice_id = s.slice_id
          WHERE d.campaign_id = $1) AS receipts
FROM partition_seals x
WHERE x.campaign_id = $1;
