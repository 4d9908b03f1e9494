-- Folding, retention, erasure: receipts are partitioned as submissions are, closed partitions are folded into one row
-- a message, old ones are dropped behind a seal, and a person's number can be taken out of what is kept.

-- What was received until now stays in one partition, up to the end of the newest partition of submissions. It is kept
-- also when that is over: the lowest one, for receipts that come after their messages were dropped.
DROP FUNCTION message_states(bigint[], integer[], boolean[]);
ALTER TABLE receipts RENAME TO receipts_past;
CREATE TABLE receipts (LIKE receipts_past INCLUDING ALL) PARTITION BY RANGE (slice_id);
DO $$
BEGIN
    EXECUTE format('ALTER TABLE receipts ATTACH PARTITION receipts_past FOR VALUES FROM (MINVALUE) TO (%s)',
                   (SELECT coalesce(max((day::bigint << 40) | ((partition_no + 1)::bigint << 28)), 0)
                    FROM submission_partitions));
END
$$;

ALTER TABLE submission_partitions
    ADD COLUMN receipts   text,              -- its partition of receipts; null: receipts_past
    ADD COLUMN folded_at  timestamptz,       -- messages_done has its messages; null again where one is sent anew
    ADD COLUMN dropped_at timestamptz;       -- only its seals are left

-- A null number is an erased one.
ALTER TABLE submissions ALTER COLUMN msisdn DROP NOT NULL;

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

-- What a page shows of the messages of a slice, rows [first, last), and what is folded of them: once.
CREATE FUNCTION messages_of(slice bigint, first integer, last integer, settled boolean)
RETURNS TABLE (row_no integer, state smallint, parts smallint, attempts smallint, msisdn bigint, account_id integer,
               channel_id integer, cost bigint, fallback_level smallint, doubt text, failed_status bigint,
               stat smallint, receipt_error text, sent_at timestamptz, done_at timestamptz)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH evidence AS (
        SELECT x.row_no, x.part, x.parts, x.outcome, x.attempt, x.status, x.msisdn, x.account_id, x.channel_id, x.cost,
               x.fallback_level, x.sent_at, x.responded_at, NULL::text AS doubt, 0::smallint AS verdict,
               NULL::smallint AS stat, NULL::text AS error, NULL::timestamptz AS received_at
        FROM submissions x
        WHERE x.slice_id = slice AND x.row_no >= first AND x.row_no < last
        UNION ALL
        SELECT x.row_no, x.part, x.parts, -1, x.attempt, NULL, x.msisdn, x.account_id, NULL, 0, 0, NULL, NULL,
               x.reason, 0, NULL, NULL, NULL
        FROM doubts x
        WHERE x.slice_id = slice AND x.row_no >= first AND x.row_no < last
        UNION ALL
        SELECT x.row_no, x.part, 0, -1, 0, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, x.verdict, x.stat, x.error,
               x.received_at
        FROM receipts x
        WHERE x.slice_id = slice AND x.row_no >= first AND x.row_no < last
    ), part_rows AS (
        SELECT e.row_no, e.part, max(e.parts) AS parts, max(e.attempt) AS attempt, max(e.msisdn) AS msisdn,
               max(e.account_id) AS account_id, max(e.channel_id) AS channel_id,
               sum(e.cost) FILTER (WHERE e.outcome = 0) AS cost, max(e.fallback_level) AS fallback_level,
               bool_or(e.outcome = 0) AS accepted, bool_or(e.outcome = 1) AS failed, max(e.doubt) AS doubt,
               max(e.verdict) AS verdict,
               max(e.status) FILTER (WHERE e.outcome = 1) AS failed_status,
               min(e.sent_at) AS sent_at,
               max(e.responded_at) FILTER (WHERE e.outcome = 1) AS failed_at,
               max(e.received_at) FILTER (WHERE e.verdict > 0) AS verdict_at,
               max(e.stat) FILTER (WHERE e.verdict = 1) AS stat,
               max(e.error) FILTER (WHERE e.verdict = 1) AS receipt_error
        FROM evidence e
        GROUP BY e.row_no, e.part
    ), messages AS (
        SELECT p.row_no,
               message_state(max(p.parts)::bigint,
                             count(*) FILTER (WHERE p.part > 0 AND p.accepted),
                             count(*) FILTER (WHERE p.part > 0 AND p.failed AND NOT p.accepted),
                             count(*) FILTER (WHERE p.part > 0 AND p.doubt IS NOT NULL AND NOT p.accepted
                                                AND NOT p.failed),
                             bool_or(p.part = 0 AND p.doubt IS NOT NULL),
                             count(*) FILTER (WHERE p.verdict = 1),
                             count(*) FILTER (WHERE p.verdict = 2),
                             settled) AS state,
               max(p.parts)::smallint AS parts,
               (max(p.attempt) + 1)::smallint AS attempts,
               max(p.msisdn) AS msisdn,
               max(p.account_id) AS account_id,
               max(p.channel_id) AS channel_id,
               coalesce(sum(p.cost), 0)::bigint AS cost,
               max(p.fallback_level)::smallint AS fallback_level,
               max(p.doubt) AS doubt,
               max(p.failed_status) AS failed_status,
               max(p.stat) FILTER (WHERE p.verdict = 1) AS stat,
               max(p.receipt_error) FILTER (WHERE p.verdict = 1) AS receipt_error,
               min(p.sent_at) AS sent_at,
               max(greatest(p.failed_at, p.verdict_at)) AS done_at
        FROM part_rows p
        GROUP BY p.row_no
    )
    SELECT m.row_no, m.state, m.parts, m.attempts, m.msisdn, m.account_id, m.channel_id, m.cost, m.fallback_level,
           m.doubt, m.failed_status, m.stat, m.receipt_error, m.sent_at,
           CASE WHEN m.state IN (2, 3, 5) THEN m.done_at END
    FROM messages m;
END;

CREATE TABLE messages_done (                 -- one row a message of a folded partition, with its final state
    slice_id       bigint NOT NULL,
    row_no         integer NOT NULL,
    state          smallint NOT NULL,        -- engine.ledger.states.MessageState
    parts          smallint NOT NULL,
    attempts       smallint NOT NULL,
    msisdn         bigint,                   -- null: erased
    account_id     integer,                  -- null: nothing says which (in doubt before there was a result)
    channel_id     integer,
    cost           bigint NOT NULL,          -- of the accepted parts
    fallback_level smallint NOT NULL,
    doubt          text,
    failed_status  bigint,
    stat           smallint,
    receipt_error  text,
    sent_at        timestamptz,
    done_at        timestamptz,
    PRIMARY KEY (slice_id, row_no)
) PARTITION BY RANGE (slice_id);
CREATE INDEX messages_done_msisdn ON messages_done (msisdn);

CREATE TABLE partition_seals (               -- what a dropped partition held, by campaign; chained by their hashes
    day          integer NOT NULL,
    partition_no smallint NOT NULL,
    campaign_id  uuid NOT NULL,
    planned      bigint NOT NULL,            -- rows of its slices
    claimed      bigint NOT NULL,
    sent         bigint NOT NULL,            -- messages by state; sent: in flight + delivered + undelivered + no_receipt
    delivered    bigint NOT NULL,
    undelivered  bigint NOT NULL,
    no_receipt   bigint NOT NULL,
    failed       bigint NOT NULL,
    in_doubt     bigint NOT NULL,
    submissions  bigint NOT NULL,            -- rows
    parts        bigint NOT NULL,
    retried      bigint NOT NULL,
    receipts     bigint NOT NULL,
    charged      bigint NOT NULL,
    content      bytea NOT NULL,             -- sha256 over its rows of messages_done, without the numbers
    hash         bytea NOT NULL,             -- sha256 over the seal before, and this one
    sealed_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (day, partition_no, campaign_id)
);
CREATE INDEX partition_seals_campaign ON partition_seals (campaign_id);

-- The end of a recipient file: the chunks' data go, their counts and digests stay, so what was sealed stays provable.
ALTER TABLE recipient_chunks
    ALTER COLUMN data DROP NOT NULL,
    ADD COLUMN data_digest bytea;            -- sha256 of data where a number was erased from it; null: digest
CREATE INDEX recipient_chunks_kept ON recipient_chunks (upload_id, chunk_no) WHERE data IS NOT NULL;

CREATE TABLE workspace_retention (           -- shorter than the engine's: recipients' numbers go after so many days
    workspace_id uuid PRIMARY KEY,
    days         integer NOT NULL CHECK (days > 0),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE slices ADD COLUMN numbers_gone_at timestamptz;   -- by its workspace's retention

CREATE TABLE erasures (                      -- numbers that were erased; never the number itself
    erasure_id   uuid PRIMARY KEY,
    number_hash  bytea NOT NULL,             -- HMAC-SHA256 under the engine's key
    reason       text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    done_at      timestamptz NOT NULL,
    erased       jsonb NOT NULL              -- rows changed, by table
);
CREATE INDEX erasures_number ON erasures (number_hash);

CREATE TABLE retention_runs (                -- the daily round
    run_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT now(),
    took_s     double precision NOT NULL,
    body       jsonb NOT NULL                -- engine.ledger.retention.Round
);
