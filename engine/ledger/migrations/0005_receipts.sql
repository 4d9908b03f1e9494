-- Receipts whole: how each was matched, its raw dates, messages of people, and what a local journal has replayed.

ALTER TABLE workers                          -- a dead worker's messages belong to the live one that loaded their ids
    ADD COLUMN heir integer REFERENCES workers;

ALTER TABLE submissions                      -- who sent it: repeats of its receipts are counted by that worker alone
    ADD COLUMN worker_id integer;            -- null before this release

ALTER TABLE receipts                         -- done_at is true: the converted date where it lies between submit and arrival
    ADD COLUMN done_raw text,                -- the date as the SMSC wrote it
    ADD COLUMN network_error text,           -- TLV 0x0423 as it came, in hex
    ADD COLUMN matched_by smallint NOT NULL DEFAULT 0,  -- engine.ledger.matching.MatchedBy
    ADD COLUMN smsc_id text;                 -- the id as the receipt has it, where it is not the one of the response

ALTER TABLE orphan_receipts
    ADD COLUMN source text NOT NULL DEFAULT '',         -- destination address of the receipt: our sender
    ADD COLUMN submitted_s bigint,           -- its submit date, epoch seconds as if UTC
    ADD COLUMN done_s bigint,                -- its done date, epoch seconds as if UTC
    ADD COLUMN done_raw text,
    ADD COLUMN network_error text,
    ADD COLUMN stored_at timestamptz NOT NULL DEFAULT now(),  -- later than received_at where a journal held it
    ADD COLUMN retry_at timestamptz,         -- an operator asked for another look, whatever its age
    ADD COLUMN inbound_id uuid;              -- it came as a message (esm_class 0): a receipt only if its id is found
DROP INDEX orphan_receipts_open;
CREATE INDEX orphan_receipts_open ON orphan_receipts (stored_at) WHERE matched_at IS NULL;
CREATE INDEX orphan_receipts_shown ON orphan_receipts (account_id, orphan_id) WHERE inbound_id IS NULL;
CREATE INDEX orphan_receipts_retry ON orphan_receipts (orphan_id) WHERE retry_at IS NOT NULL;

CREATE TABLE inbound (                       -- what people send: stored before it is acknowledged
    inbound_id   uuid PRIMARY KEY,           -- ascending in time
    account_id   integer NOT NULL,
    kind         smallint NOT NULL,          -- engine.ledger.inbound.Kind
    source       text NOT NULL,              -- who sent it
    destination  text NOT NULL,              -- our address
    body         text NOT NULL,              -- decoded, U+FFFD where it is no text
    esm_class    smallint NOT NULL,
    data_coding  smallint NOT NULL,
    part         smallint NOT NULL DEFAULT 1,
    parts        smallint NOT NULL DEFAULT 1,
    reference    integer,                    -- of a message in parts
    pdu          bytea NOT NULL,             -- as it came
    received_at  timestamptz NOT NULL,
    receipt_at   timestamptz                 -- turned out to be a receipt without its flag
);
CREATE INDEX inbound_account ON inbound (account_id, inbound_id);

CREATE TABLE receipt_journals (              -- written in the commit of what was replayed: nothing is replayed twice
    journal_id   uuid PRIMARY KEY,
    worker_id    integer NOT NULL REFERENCES workers,
    replayed_to  bigint NOT NULL,            -- record number
    updated_at   timestamptz NOT NULL DEFAULT now()
);
