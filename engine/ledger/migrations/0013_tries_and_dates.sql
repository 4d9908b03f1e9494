-- Who made a stop, in a word of the control plane that the engine keeps and does not read; '' where nobody said.
ALTER TABLE stops ADD COLUMN made_by text NOT NULL DEFAULT '';

-- A message's end is the date its receipt carries, where it carries a true one, and not the receipt's arrival. A message that
-- was said to be undelivered and was delivered after all is marked.
ALTER TABLE messages_done ADD COLUMN corrected boolean NOT NULL DEFAULT false;

DROP FUNCTION messages_of(bigint, integer, integer, boolean);
CREATE FUNCTION messages_of(slice bigint, first integer, last integer, settled boolean)
RETURNS TABLE (row_no integer, state smallint, parts smallint, attempts smallint, msisdn bigint, account_id integer,
               channel_id integer, cost bigint, fallback_level smallint, doubt text, failed_status bigint,
               stat smallint, receipt_error text, sent_at timestamptz, done_at timestamptz, corrected boolean)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH evidence AS (
        SELECT x.row_no, x.part, x.parts, x.outcome, x.attempt, x.status, x.msisdn, x.account_id, x.channel_id, x.cost,
               x.fallback_level, x.sent_at, x.responded_at, NULL::text AS doubt, 0::smallint AS verdict,
               NULL::smallint AS stat, NULL::text AS error, NULL::timestamptz AS received_at,
               NULL::timestamptz AS done_at
        FROM submissions x
        WHERE x.slice_id = slice AND x.row_no >= first AND x.row_no < last
        UNION ALL
        SELECT x.row_no, x.part, x.parts, -1, x.attempt, NULL, x.msisdn, x.account_id, x.channel_id, 0, 0, NULL, NULL,
               x.reason, 0, NULL, NULL, NULL, NULL
        FROM doubts x
        WHERE x.slice_id = slice AND x.row_no >= first AND x.row_no < last
        UNION ALL
        SELECT x.row_no, x.part, 0, -1, 0, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, x.verdict, x.stat, x.error,
               x.received_at, coalesce(x.done_at, x.received_at)
        FROM receipts x
        WHERE x.slice_id = slice AND x.row_no >= first AND x.row_no < last
    ), part_rows AS (
        SELECT e.row_no, e.part, max(e.parts) AS parts, max(e.attempt) AS attempt, max(e.msisdn) AS msisdn,
               -- whose it is in the end: it may have been refused over another channel before
               coalesce(max(e.account_id) FILTER (WHERE e.outcome = 0),
                        (array_agg(e.account_id ORDER BY e.attempt DESC, e.outcome)
                         FILTER (WHERE e.account_id IS NOT NULL))[1]) AS account_id,
               coalesce(max(e.channel_id) FILTER (WHERE e.outcome = 0),
                        (array_agg(e.channel_id ORDER BY e.attempt DESC, e.outcome)
                         FILTER (WHERE e.channel_id IS NOT NULL))[1]) AS channel_id,
               sum(e.cost) FILTER (WHERE e.outcome = 0) AS cost, max(e.fallback_level) AS fallback_level,
               bool_or(e.outcome = 0) AS accepted, bool_or(e.outcome = 1) AS failed, max(e.doubt) AS doubt,
               max(e.verdict) AS verdict,
               max(e.status) FILTER (WHERE e.outcome = 1) AS failed_status,
               min(e.sent_at) AS sent_at,
               max(e.responded_at) FILTER (WHERE e.outcome = 1) AS failed_at,
               -- of the verdict that counts, as it was first told
               coalesce(min(e.done_at) FILTER (WHERE e.verdict = 2), min(e.done_at) FILTER (WHERE e.verdict = 1))
                   AS verdict_at,
               coalesce(min(e.received_at) FILTER (WHERE e.verdict = 1)
                        < min(e.received_at) FILTER (WHERE e.verdict = 2), false) AS corrected,
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
               max(coalesce(p.verdict_at, p.failed_at)) AS done_at,  -- a try that failed before is not the end
               bool_or(p.corrected) AS corrected
        FROM part_rows p
        GROUP BY p.row_no
    )
    SELECT m.row_no, m.state, m.parts, m.attempts, m.msisdn, m.account_id, m.channel_id, m.cost, m.fallback_level,
           m.doubt, m.failed_status, m.stat, m.receipt_error, m.sent_at,
           -- a receipt's date has whole seconds, or minutes
           CASE WHEN m.state IN (2, 3, 5) THEN greatest(m.done_at, m.sent_at) END,
           m.state = 2 AND m.corrected
    FROM messages m;
END;

-- What the next message of a campaign that has "no balance" costs; null where nobody noted it.
ALTER TABLE campaigns ADD COLUMN awaits_money bigint;
CREATE INDEX campaigns_unpaid ON campaigns (reason) WHERE state = 'Paused' AND reason IN ('no balance', 'no price list');

-- Refused passwords of an account, counted for all workers: SMSCs ban addresses that go on. They count for the version of the
-- account that was refused; an accepted bind, an operator's rebind or a change of the account clears them.
ALTER TABLE accounts
    ADD COLUMN refused         integer NOT NULL DEFAULT 0,
    ADD COLUMN refused_version integer NOT NULL DEFAULT 0;

ALTER TABLE binds ADD COLUMN down_since timestamptz;   -- null: bound. A try to bind again does not change it
UPDATE binds SET down_since = changed_at WHERE state <> 'bound';

CREATE TABLE bind_tries (                    -- binds on their way, each of which may be refused
    try_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id integer NOT NULL REFERENCES accounts ON DELETE CASCADE,
    version    integer NOT NULL,             -- of the account
    worker_id  integer NOT NULL REFERENCES workers ON DELETE CASCADE,
    began_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX bind_tries_account ON bind_tries (account_id);
