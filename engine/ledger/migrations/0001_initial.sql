-- The ledger. PostgreSQL decides claims, leases and what happened to every message.
-- `submissions` and `receipts` are append-only; what may change is said beside each table.

CREATE TABLE workers (                       -- one row an engine process start
    worker_id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    epoch        bigint NOT NULL,
    lease_until  timestamptz NOT NULL,
    last_batch   bigint NOT NULL DEFAULT 0,  -- the writer's last commit: tells a lost answer from a lost commit
    started_at   timestamptz NOT NULL DEFAULT now(),
    stopped_at   timestamptz
);

CREATE TABLE accounts (                      -- a system_id at an SMSC
    account_id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name               text NOT NULL UNIQUE,
    host               text NOT NULL,
    port               integer NOT NULL,
    system_id          text NOT NULL,
    password_encrypted bytea NOT NULL,
    system_type        text NOT NULL DEFAULT '',
    bind_mode          text NOT NULL DEFAULT 'transceiver',
    interface_version  smallint NOT NULL DEFAULT 52,
    tps                integer NOT NULL DEFAULT 10 CHECK (tps > 0),
    binds              smallint NOT NULL DEFAULT 1 CHECK (binds > 0),
    window_size        integer NOT NULL DEFAULT 10 CHECK (window_size > 0),
    settings           jsonb NOT NULL DEFAULT '{}',
    enabled            boolean NOT NULL DEFAULT true,
    version            integer NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE binds (                         -- live state of each bind, overwritten by its owner
    account_id  integer NOT NULL REFERENCES accounts,
    number      smallint NOT NULL,
    worker_id   integer REFERENCES workers,
    state       text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, number)
);

CREATE TABLE channels (                      -- what campaigns choose
    channel_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    kind        text NOT NULL DEFAULT 'smpp',
    account_id  integer REFERENCES accounts,
    settings    jsonb NOT NULL DEFAULT '{}',
    enabled     boolean NOT NULL DEFAULT true,
    version     integer NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE decisions (                     -- every command of the Core API, once
    decision_id  uuid PRIMARY KEY,
    command      text NOT NULL,
    body_hash    bytea NOT NULL,
    answer       jsonb NOT NULL,
    decided_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE uploads (                       -- a recipient file; counters move with its last chunk
    upload_id       uuid PRIMARY KEY,
    workspace_id    uuid NOT NULL,
    file_name       text NOT NULL,
    size_bytes      bigint,
    default_country text NOT NULL DEFAULT '',
    state           text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'complete', 'failed', 'discarded')),
    reason          text NOT NULL DEFAULT '',
    dialect         jsonb,                   -- separator, header, columns, msisdn column; null until the first block
    byte_offset     bigint NOT NULL DEFAULT 0,  -- resume here
    lines           bigint NOT NULL DEFAULT 0,
    rows            bigint NOT NULL DEFAULT 0,  -- data lines: accepted + duplicates + job_errors
    accepted        bigint NOT NULL DEFAULT 0,
    duplicates      bigint NOT NULL DEFAULT 0,
    job_errors      bigint NOT NULL DEFAULT 0,
    digest          bytea,                   -- over the chunks' digests, once complete
    created_at      timestamptz NOT NULL DEFAULT now(),
    completed_at    timestamptz,
    CHECK (rows = accepted + duplicates + job_errors)
);

CREATE TABLE recipient_chunks (
    upload_id   uuid NOT NULL REFERENCES uploads ON DELETE CASCADE,
    chunk_no    integer NOT NULL,
    row_count   integer NOT NULL CHECK (row_count BETWEEN 1 AND 65536),
    byte_end    bigint NOT NULL,
    digest      bytea NOT NULL,              -- sha256 of data
    data        bytea NOT NULL,              -- Arrow IPC stream, lz4: msisdn int64, then the file's other columns
    PRIMARY KEY (upload_id, chunk_no)
);
ALTER TABLE recipient_chunks ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE job_errors (                    -- workflow errors: a line of a file, a refused bind, a breaker
    job_error_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    upload_id    uuid REFERENCES uploads ON DELETE CASCADE,
    campaign_id  uuid,
    line_no      bigint,
    code         text NOT NULL,
    detail       text NOT NULL,
    happened_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX job_errors_upload ON job_errors (upload_id, job_error_id);
CREATE INDEX job_errors_campaign ON job_errors (campaign_id, job_error_id);

CREATE TABLE job_error_counts (              -- exact, also where the detail above is capped
    upload_id  uuid NOT NULL REFERENCES uploads ON DELETE CASCADE,
    code       text NOT NULL,
    count      bigint NOT NULL,
    PRIMARY KEY (upload_id, code)
);

CREATE TABLE manifests (                     -- what was approved, sealed; never changed
    manifest_hash bytea PRIMARY KEY,
    campaign_id   uuid NOT NULL,
    body          bytea NOT NULL,            -- canonical JSON: chunk digests, text, sender revision, channel
    sealed_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE campaigns (                     -- the engine's half: state from Building's end on
    campaign_id        uuid PRIMARY KEY,
    workspace_id       uuid NOT NULL,
    name               text NOT NULL,
    channel_id         integer NOT NULL REFERENCES channels,
    sender             text NOT NULL,
    sender_revision_id uuid NOT NULL,
    text               text NOT NULL,
    upload_id          uuid NOT NULL REFERENCES uploads,
    manifest_hash      bytea NOT NULL REFERENCES manifests,
    state              text NOT NULL CHECK (state IN ('Pending', 'Sending', 'Paused', 'Done', 'Cancelled', 'Failed', 'Expired', 'Returned')),
    reason             text NOT NULL DEFAULT '',
    accepted           bigint NOT NULL,
    next_chunk         integer NOT NULL DEFAULT 0,  -- planner's position: the first chunk row not yet in a slice
    next_row           integer NOT NULL DEFAULT 0,
    version            integer NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL DEFAULT now(),
    started_at         timestamptz,
    done_at            timestamptz,
    settled_at         timestamptz
);
CREATE INDEX campaigns_state ON campaigns (state) WHERE state IN ('Pending', 'Sending', 'Paused', 'Done', 'Cancelled');
CREATE INDEX campaigns_unsettled ON campaigns (campaign_id) WHERE settled_at IS NULL;

CREATE TABLE slices (                        -- a range of a chunk's rows, or explicit rows of an earlier slice
    slice_id        bigint PRIMARY KEY,      -- days since 2020-01-01 << 40 | partition << 28 | number
    campaign_id     uuid NOT NULL REFERENCES campaigns,
    chunk_no        integer NOT NULL,
    channel_id      integer NOT NULL REFERENCES channels,
    lane            smallint NOT NULL DEFAULT 1,   -- 0 express, 1 bulk
    row_start       integer NOT NULL,        -- first row in the chunk (in its permutation, where one is stored)
    row_count       integer NOT NULL CHECK (row_count > 0),
    origin_slice_id bigint,                  -- a retry slice: its rows are rows of that slice
    explicit_rows   bytea,                   -- int32 little-endian, with origin_slice_id
    attempt         smallint NOT NULL DEFAULT 0,
    fallback_level  smallint NOT NULL DEFAULT 0,
    due_at          timestamptz NOT NULL DEFAULT now(),
    claimed_to      integer NOT NULL DEFAULT 0,    -- rows [0, claimed_to) are claimed: moved by compare-and-swap
    state           text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done', 'cancelled')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (claimed_to BETWEEN 0 AND row_count)
);
CREATE INDEX slices_open ON slices (channel_id, slice_id) WHERE state = 'open';
CREATE INDEX slices_campaign ON slices (campaign_id, slice_id);

CREATE TABLE claims (                        -- nothing is sent outside one
    claim_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slice_id    bigint NOT NULL REFERENCES slices,
    row_start   integer NOT NULL,            -- rows [row_start, row_end) of the slice
    row_end     integer NOT NULL,            -- lowered when unwritten rows are given back
    worker_id   integer NOT NULL REFERENCES workers,
    epoch       bigint NOT NULL,
    claimed_at  timestamptz NOT NULL DEFAULT now(),
    closed_at   timestamptz,                 -- every row has a result or is in doubt
    CHECK (row_start <= row_end)
);
CREATE INDEX claims_open ON claims (worker_id, claim_id) WHERE closed_at IS NULL;
CREATE INDEX claims_slice ON claims (slice_id, row_start);

CREATE TABLE submissions (                   -- append-only: one row a submit_sm outcome (throttles are counted, not kept)
    slice_id       bigint NOT NULL,
    row_no         integer NOT NULL,         -- row in the slice
    part           smallint NOT NULL,        -- 1..parts
    attempt        smallint NOT NULL,
    parts          smallint NOT NULL,
    outcome        smallint NOT NULL,        -- engine.ledger.states.Outcome
    status         bigint NOT NULL,          -- command_status of the response
    msisdn         bigint NOT NULL,
    account_id     integer NOT NULL,
    channel_id     integer NOT NULL,
    smsc_id        text,                     -- message_id as received; null where none came
    cost           integer NOT NULL DEFAULT 0,
    fallback_level smallint NOT NULL DEFAULT 0,
    sent_at        timestamptz NOT NULL,
    responded_at   timestamptz NOT NULL,
    PRIMARY KEY (slice_id, row_no, part, attempt)
) PARTITION BY RANGE (slice_id);

-- A slice id is day << 40 | partition << 28 | number, so each partition's bounds are known when it is made.
-- It is attached (not created in place: that would lock out every writer) before the first slice of it is released.
CREATE TABLE submission_partitions (
    day          integer NOT NULL,           -- days since 2020-01-01
    partition_no smallint NOT NULL,          -- of the day; the next one starts at about 2 M planned rows
    name         text NOT NULL UNIQUE,
    next_number  integer NOT NULL DEFAULT 0, -- of the next slice
    planned_rows bigint NOT NULL DEFAULT 0,
    indexed_at   timestamptz,                -- closed: (account, smsc id) and recipient are indexed
    PRIMARY KEY (day, partition_no)
);

CREATE TABLE receipts (                      -- append-only: matched receipts, also repeats and corrections
    slice_id     bigint NOT NULL,
    row_no       integer NOT NULL,
    part         smallint NOT NULL,
    verdict      smallint NOT NULL,          -- engine.ledger.states.Verdict
    stat         smallint NOT NULL,          -- message_state 0-9, 255 unknown
    error        text NOT NULL DEFAULT '',
    done_at      timestamptz,                -- as the SMSC wrote it, read in the account's zone
    received_at  timestamptz NOT NULL,
    account_id   integer NOT NULL
);
CREATE INDEX receipts_row ON receipts (slice_id, row_no);

CREATE TABLE orphan_receipts (               -- matched nothing yet: retried, aged, shown
    orphan_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id   integer NOT NULL,
    smsc_id      text NOT NULL,
    msisdn       bigint NOT NULL,
    verdict      smallint NOT NULL,
    stat         smallint NOT NULL,
    error        text NOT NULL DEFAULT '',
    done_at      timestamptz,
    received_at  timestamptz NOT NULL,
    matched_at   timestamptz
);
CREATE INDEX orphan_receipts_open ON orphan_receipts (received_at) WHERE matched_at IS NULL;

CREATE TABLE doubts (                        -- append-only: claimed and without a result after a fault
    slice_id  bigint NOT NULL,
    row_no    integer NOT NULL,
    part      smallint NOT NULL,             -- 0: the whole message (nobody knows its parts any more)
    attempt   smallint NOT NULL,
    parts     smallint NOT NULL DEFAULT 0,   -- of the message; 0 where part is 0
    reason    text NOT NULL,                 -- no_response, connection_lost, engine_restart
    doubted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (slice_id, row_no, part, attempt)
);

-- Counters are sums of what each worker added, written in the commit of the batch they count; one row for all
-- workers would serialise them. Messages, not parts, unless the name says so.
CREATE TABLE campaign_stats (
    campaign_id  uuid NOT NULL,
    worker_id    integer NOT NULL,
    sender       text NOT NULL,
    sent         bigint NOT NULL DEFAULT 0,  -- accepted by the operator: in flight + delivered + undelivered + no_receipt
    delivered    bigint NOT NULL DEFAULT 0,
    undelivered  bigint NOT NULL DEFAULT 0,
    no_receipt   bigint NOT NULL DEFAULT 0,
    failed       bigint NOT NULL DEFAULT 0,
    blocked      bigint NOT NULL DEFAULT 0,
    expired      bigint NOT NULL DEFAULT 0,
    cancelled    bigint NOT NULL DEFAULT 0,
    in_doubt     bigint NOT NULL DEFAULT 0,
    submissions  bigint NOT NULL DEFAULT 0,  -- rows in submissions
    parts        bigint NOT NULL DEFAULT 0,  -- parts accepted by the operator
    throttled    bigint NOT NULL DEFAULT 0,  -- ESME_RTHROTTLED responses
    retried      bigint NOT NULL DEFAULT 0,
    receipts     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (campaign_id, worker_id, sender)
) WITH (fillfactor = 50);

CREATE TABLE campaign_series (               -- for the throughput chart: 10 s buckets
    campaign_id  uuid NOT NULL,
    bucket       timestamptz NOT NULL,
    worker_id    integer NOT NULL,
    sent         bigint NOT NULL DEFAULT 0,
    delivered    bigint NOT NULL DEFAULT 0,
    failed       bigint NOT NULL DEFAULT 0,  -- failed and undelivered
    PRIMARY KEY (campaign_id, bucket, worker_id)
) WITH (fillfactor = 50);

CREATE TABLE hourly_stats (
    workspace_id uuid NOT NULL,
    hour         timestamptz NOT NULL,
    channel_id   integer NOT NULL,
    worker_id    integer NOT NULL,
    sender       text NOT NULL,
    sent         bigint NOT NULL DEFAULT 0,
    delivered    bigint NOT NULL DEFAULT 0,
    failed       bigint NOT NULL DEFAULT 0,
    parts        bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, hour, channel_id, worker_id, sender)
) WITH (fillfactor = 50);

CREATE TABLE message_errors (                -- counts for the Message errors tab
    campaign_id  uuid NOT NULL,
    context      text NOT NULL CHECK (context IN ('response', 'receipt', 'encode')),
    code         text NOT NULL,              -- 0x0000000B, or the receipt's stat/err
    worker_id    integer NOT NULL,
    count        bigint NOT NULL,
    last_at      timestamptz NOT NULL,
    PRIMARY KEY (campaign_id, context, code, worker_id)
);
