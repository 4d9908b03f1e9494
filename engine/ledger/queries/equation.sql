-- name: memory
SET LOCAL work_mem = '256MB';

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

-- name: messages
-- Every row of evidence, by part, by message, by state.
WITH own AS MATERIALIZED (
    SELECT slice_id, claimed_to FROM slices WHERE campaign_id = $1
), bounds AS MATERIALIZED (
    SELECT min(slice_id) AS low, max(slice_id) AS high FROM own
), campaign AS (
    SELECT settled_at IS NOT NULL AS settled FROM campaigns WHERE campaign_id = $1
), evidence AS (
    SELECT slice_id, row_no, part, parts, outcome, false AS doubt, (-1)::smallint AS verdict
    FROM submissions
    WHERE slice_id BETWEEN (SELECT low FROM bounds) AND (SELECT high FROM bounds)
      AND slice_id IN (SELECT slice_id FROM own)
    UNION ALL
    SELECT slice_id, row_no, part, parts, (-1)::smallint, true, (-1)::smallint
    FROM doubts
    WHERE slice_id IN (SELECT slice_id FROM own)
    UNION ALL
    SELECT slice_id, row_no, part, 0::smallint, (-1)::smallint, false, verdict
    FROM receipts
    WHERE slice_id IN (SELECT slice_id FROM own)
), part_rows AS (
    SELECT slice_id, row_no, part,
           max(parts) AS parts,
           bool_or(outcome = 0) AS accepted,
           bool_or(outcome = 1) AS failed,
           bool_or(doubt) AS doubt,
           max(verdict) AS verdict,
           count(*) FILTER (WHERE outcome >= 0) AS submissions,
           count(*) FILTER (WHERE outcome = 0) AS accepted_rows,
           count(*) FILTER (WHERE outcome = 2) AS retried,
           count(*) FILTER (WHERE verdict >= 0) AS receipts
    FROM evidence
    GROUP BY slice_id, row_no, part
), messages AS (
    SELECT p.slice_id, p.row_no,
           message_state(max(p.parts)::bigint,
                         count(*) FILTER (WHERE p.part > 0 AND p.accepted),
                         count(*) FILTER (WHERE p.part > 0 AND p.failed AND NOT p.accepted),
                         count(*) FILTER (WHERE p.part > 0 AND p.doubt AND NOT p.accepted AND NOT p.failed),
                         bool_or(p.part = 0 AND p.doubt),
                         count(*) FILTER (WHERE p.verdict = 1),
                         count(*) FILTER (WHERE p.verdict = 2),
                         (SELECT settled FROM campaign)) AS state,
           sum(p.submissions) AS submissions,
           sum(p.accepted_rows) AS parts,
           sum(p.retried) AS retried,
           sum(p.receipts) AS receipts
    FROM part_rows p
    GROUP BY p.slice_id, p.row_no
)
SELECT count(*) FILTER (WHERE m.state IN (1, 2, 3, 4)) AS sent,
       count(*) FILTER (WHERE m.state = 2) AS delivered,
       count(*) FILTER (WHERE m.state = 3) AS undelivered,
       count(*) FILTER (WHERE m.state = 4) AS no_receipt,
       count(*) FILTER (WHERE m.state = 5) AS failed,
       count(*) FILTER (WHERE m.state = 6) AS in_doubt,
       coalesce(sum(m.submissions), 0)::bigint AS submissions,
       coalesce(sum(m.parts), 0)::bigint AS parts,
       coalesce(sum(m.retried), 0)::bigint AS retried,
       coalesce(sum(m.receipts), 0)::bigint AS receipts,
       count(*) FILTER (WHERE m.row_no >= own.claimed_to OR m.row_no < 0) AS outside
FROM messages m
JOIN own USING (slice_id);
