-- Retry slices, error classes by channel, breakers, and doubts that an operator can decide by group.

-- A retry slice holds (row, part) pairs of its origin; part 0 stands for every part without a result.
ALTER TABLE slices ADD COLUMN explicit_parts bytea;                   -- int16 little-endian, beside explicit_rows
ALTER TABLE slices ADD COLUMN tries smallint NOT NULL DEFAULT 0;      -- used up before this slice's first attempt
ALTER TABLE slices ADD COLUMN resend boolean NOT NULL DEFAULT false;  -- an earlier attempt of its rows is in doubt
CREATE INDEX slices_retries ON slices (campaign_id, due_at) WHERE state = 'open' AND origin_slice_id IS NOT NULL;
CREATE INDEX slices_origin ON slices (origin_slice_id, due_at) WHERE origin_slice_id IS NOT NULL;

-- Which bind a claim was made for: its doubts are shown under it.
ALTER TABLE claims ADD COLUMN account_id integer;
ALTER TABLE claims ADD COLUMN bind_number smallint;

ALTER TABLE campaigns ADD COLUMN in_doubt text NOT NULL DEFAULT 'hold'
    CHECK (in_doubt IN ('hold', 'resend', 'await_receipt'));

-- What a doubt came from, and what was decided about it (null: nothing yet). A decision is the one change a row sees.
ALTER TABLE doubts ADD COLUMN account_id integer;
ALTER TABLE doubts ADD COLUMN bind_number smallint;
ALTER TABLE doubts ADD COLUMN worker_id integer;
ALTER TABLE doubts ADD COLUMN event text NOT NULL DEFAULT '';  -- one fault: doubts of one are decided together
ALTER TABLE doubts ADD COLUMN msisdn bigint;                   -- where the worker still knew it
ALTER TABLE doubts ADD COLUMN decision text
    CHECK (decision IN ('resend', 'count_as_sent', 'count_as_not_sent', 'leave', 'answered'));
ALTER TABLE doubts ADD COLUMN decided_at timestamptz;
CREATE INDEX doubts_undecided ON doubts (slice_id, row_no) WHERE decision IS NULL OR decision = 'leave';

-- What an operator's codes mean on a channel, over the built-in table (engine/smpp/tables.py).
CREATE TABLE error_map (
    channel_id  integer NOT NULL REFERENCES channels,
    context     text NOT NULL CHECK (context IN ('response', 'receipt')),
    code        text NOT NULL,              -- response: 0x00000400; receipt: the err text
    class       text NOT NULL CHECK (class IN ('session', 'throttle', 'queue_full', 'temporary', 'permanent')),
    meaning     text NOT NULL DEFAULT '',
    note        text NOT NULL DEFAULT '',
    version     integer NOT NULL DEFAULT 1,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel_id, context, code)
);

CREATE TABLE code_counts (                  -- codes seen, written in the commit of the results that had them
    channel_id  integer NOT NULL,
    context     text NOT NULL,
    code        text NOT NULL,
    day         date NOT NULL,
    worker_id   integer NOT NULL,
    count       bigint NOT NULL,
    last_at     timestamptz NOT NULL,
    PRIMARY KEY (channel_id, day, context, code, worker_id)
) WITH (fillfactor = 50);

-- A tripped channel takes no claims until an operator resets it.
ALTER TABLE channels ADD COLUMN tripped_at timestamptz;
ALTER TABLE channels ADD COLUMN tripped_reason text NOT NULL DEFAULT '';
