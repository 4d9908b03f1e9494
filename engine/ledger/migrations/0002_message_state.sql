-- The lattice of message states, once: the writer's reconciliation, the recount and the recipients' page use it.
-- Codes are engine.ledger.states.MessageState.

CREATE FUNCTION message_state(
    parts        bigint,   -- of the message; 0 where nobody knows
    accepted     bigint,   -- parts by outcome
    failed       bigint,
    doubtful     bigint,
    whole_doubt  boolean,  -- parts without an outcome are in doubt too
    undelivered  bigint,   -- parts by verdict
    delivered    bigint,
    settled      boolean
) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (CASE
    WHEN NOT whole_doubt AND (parts = 0 OR accepted + failed + doubtful < parts) THEN 0  -- a part is still out
    WHEN failed > 0 AND accepted = 0 THEN 5
    WHEN failed > 0 OR undelivered > 0 THEN 3                                         -- it cannot arrive whole
    WHEN parts = 0 OR accepted < parts THEN 6
    WHEN delivered >= parts THEN 2
    WHEN settled THEN 4
    ELSE 1
END)::smallint;

-- States of these messages by their rows. `tally` gives the state as the claim's tally counted it when the last part
-- came in: results only, and a part once in doubt stays so.
CREATE FUNCTION message_states(slice_ids bigint[], row_nos integer[], tally boolean[])
RETURNS TABLE (campaign_id uuid, slice_id bigint, row_no integer, state smallint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT c.campaign_id, k.slice_id, k.row_no,
           message_state(m.parts, m.accepted, m.failed, m.doubtful, m.whole_doubt, m.undelivered, m.delivered,
                         c.settled_at IS NOT NULL)
    FROM unnest(slice_ids, row_nos, tally) AS k (slice_id, row_no, tally)
    JOIN slices s ON s.slice_id = k.slice_id
    JOIN campaigns c ON c.campaign_id = s.campaign_id
    CROSS JOIN LATERAL (
        SELECT coalesce(max(p.parts), 0)::bigint AS parts,
               count(*) FILTER (WHERE p.part > 0 AND p.accepted) AS accepted,
               count(*) FILTER (WHERE p.part > 0 AND p.failed AND NOT p.accepted) AS failed,
               count(*) FILTER (WHERE p.part > 0 AND p.doubt AND NOT p.accepted AND NOT p.failed) AS doubtful,
               coalesce(bool_or(p.part = 0 AND p.doubt), false) AS whole_doubt,
               count(*) FILTER (WHERE p.verdict = 1) AS undelivered,
               count(*) FILTER (WHERE p.verdict = 2) AS delivered
        FROM (
            SELECT e.part, max(e.parts) AS parts, bool_or(e.doubt) AS doubt,
                   bool_or(e.outcome = 0) AND NOT (k.tally AND bool_or(e.doubt)) AS accepted,
                   bool_or(e.outcome = 1) AND NOT (k.tally AND bool_or(e.doubt)) AS failed,
                   CASE WHEN k.tally THEN 0 ELSE max(e.verdict) END AS verdict
            FROM (
                SELECT x.part, x.parts, x.outcome, false AS doubt, 0::smallint AS verdict
                FROM submissions x
                WHERE x.slice_id = k.slice_id AND x.row_no = k.row_no
                UNION ALL
                SELECT x.part, x.parts, (-1)::smallint, true, 0::smallint
                FROM doubts x
                WHERE x.slice_id = k.slice_id AND x.row_no = k.row_no
                UNION ALL
                SELECT x.part, 0::smallint, (-1)::smallint, false, x.verdict
                FROM receipts x
                WHERE x.slice_id = k.slice_id AND x.row_no = k.row_no
            ) e
            GROUP BY e.part
        ) p
    ) m;
END;
