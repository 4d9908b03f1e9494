-- Accounts' other secrets, what receipts teach, test messages and PDU traces.

ALTER TABLE accounts
    ADD COLUMN secrets_encrypted bytea,               -- JSON of the write-only settings; null: none
    ADD COLUMN learned jsonb NOT NULL DEFAULT '{}';   -- by receipts: bases of ids, zone of dates; never changed silently

-- A message outside any campaign. Nothing is written to a bind before its row says `claimed` in a commit, and nothing
-- leaves `claimed` but to a result or to doubt: it is never sent twice.
CREATE TABLE test_messages (
    test_id      uuid PRIMARY KEY,
    channel_id   integer NOT NULL REFERENCES channels,
    account_id   integer NOT NULL REFERENCES accounts,
    msisdn       bigint NOT NULL,
    sender       text NOT NULL,
    body         text NOT NULL,
    state        text NOT NULL DEFAULT 'queued'
                 CHECK (state IN ('queued', 'claimed', 'answered', 'in_doubt', 'refused', 'expired')),
    detail       text NOT NULL DEFAULT '',
    requested_at timestamptz NOT NULL DEFAULT now(),
    worker_id    integer REFERENCES workers,
    claimed_at   timestamptz,
    bind_number  smallint,
    ended_at     timestamptz
);
CREATE INDEX test_messages_open ON test_messages (state) WHERE state IN ('queued', 'claimed');
CREATE INDEX test_messages_channel ON test_messages (channel_id, requested_at);

CREATE TABLE test_parts (                    -- written at the claim, before the octets; filled by result and receipt
    test_id      uuid NOT NULL REFERENCES test_messages ON DELETE CASCADE,
    part         smallint NOT NULL,
    account_id   integer NOT NULL,
    status       bigint,                     -- command_status; -1 no response in time; -2 connection lost
    smsc_id      text,
    sent_at      timestamptz,
    responded_at timestamptz,
    stat         smallint,                   -- message_state 0-9, 255 unknown
    error        text NOT NULL DEFAULT '',
    receipt_at   timestamptz,
    PRIMARY KEY (test_id, part)
);
CREATE INDEX test_parts_id ON test_parts (account_id, smsc_id);

CREATE TABLE traces (                        -- PDUs of a bind, a number or a message, for a while
    trace_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope      text NOT NULL CHECK (scope IN ('bind', 'message', 'number')),
    account_id integer REFERENCES accounts,
    number     smallint,                     -- of the bind; null: all of the account
    msisdn     bigint,
    message_id uuid,
    smsc_ids   text[] NOT NULL DEFAULT '{}',  -- of the message, as known when the trace began
    started_at timestamptz NOT NULL DEFAULT now(),
    ends_at    timestamptz NOT NULL,
    ended_at   timestamptz,                  -- ended before its time
    skipped    bigint NOT NULL DEFAULT 0,
    CHECK (ends_at <= started_at + interval '15 minutes')
);
CREATE INDEX traces_ends ON traces (ends_at);

CREATE TABLE trace_pdus (                    -- masked before they are written
    trace_id   integer NOT NULL REFERENCES traces ON DELETE CASCADE,
    pdu_id     bigint GENERATED ALWAYS AS IDENTITY,
    at         timestamptz NOT NULL,
    account_id integer NOT NULL,
    number     smallint NOT NULL,
    body       jsonb NOT NULL,               -- engine.core_api.schema.TracedPdu without account, bind and time
    PRIMARY KEY (trace_id, pdu_id)
);
