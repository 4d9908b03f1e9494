-- Several workers on one ledger: leases of binds and of TPS, stops, drains, lanes.

-- Bind numbers 1..accounts.binds and the parts of an account's TPS (12, or one a TPS unit where that is fewer). Who holds
-- bind n may have session n open (in `pair` mode its receiver and its transmitter); who holds k of N parts may send
-- k/N of the TPS. Renewed together with the worker's own lease, in one statement: the same local deadline guards both.
CREATE TABLE shares (
    account_id  integer NOT NULL REFERENCES accounts ON DELETE CASCADE,
    kind        text NOT NULL CHECK (kind IN ('bind', 'tps')),
    number      smallint NOT NULL CHECK (number > 0),
    worker_id   integer REFERENCES workers,  -- null: free
    epoch       bigint,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (account_id, kind, number)
);
CREATE INDEX shares_worker ON shares (worker_id) WHERE worker_id IS NOT NULL;

-- How a worker is, written by itself about once a second. Any worker answers for all.
ALTER TABLE workers
    ADD COLUMN application     text NOT NULL DEFAULT '',  -- application_name of its connections
    ADD COLUMN live_at         timestamptz,
    ADD COLUMN status          text NOT NULL DEFAULT '',
    ADD COLUMN in_flight       integer NOT NULL DEFAULT 0,
    ADD COLUMN sent_per_s      real NOT NULL DEFAULT 0,   -- messages accepted whole by operators
    ADD COLUMN delivered_per_s real NOT NULL DEFAULT 0;

ALTER TABLE binds
    ADD COLUMN live_at       timestamptz,                 -- when its worker wrote the figures
    ADD COLUMN in_flight     integer NOT NULL DEFAULT 0,  -- of the window
    ADD COLUMN tps_now       real NOT NULL DEFAULT 0,     -- responses a second
    ADD COLUMN tps_limit     real NOT NULL DEFAULT 0,     -- what its worker may send on all its binds of the account
    ADD COLUMN mode          text NOT NULL DEFAULT '',
    ADD COLUMN interface_version smallint NOT NULL DEFAULT 0,  -- the SMSC's, 0: not said
    ADD COLUMN last_error    text NOT NULL DEFAULT '',
    ADD COLUMN last_error_at timestamptz;

CREATE TABLE campaign_rates (                -- of campaigns in Sending, by worker; gone with the campaign's end
    campaign_id    uuid NOT NULL,
    worker_id      integer NOT NULL,
    accepted_per_s real NOT NULL,
    measured_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (campaign_id, worker_id)
) WITH (fillfactor = 50);

-- Nothing is claimed while a stop covers it; what was claimed and not begun goes back.
CREATE TABLE stops (
    stop_id      uuid PRIMARY KEY,
    scope        text NOT NULL CHECK (scope IN ('everything', 'workspace', 'channel')),
    workspace_id uuid,
    channel_id   integer REFERENCES channels,
    reason       text NOT NULL DEFAULT '',
    decision_id  uuid NOT NULL,
    stopped_at   timestamptz NOT NULL DEFAULT now(),
    lifted_at    timestamptz,
    CHECK ((scope = 'workspace') = (workspace_id IS NOT NULL)),
    CHECK ((scope = 'channel') = (channel_id IS NOT NULL))
);
CREATE INDEX stops_open ON stops (stopped_at) WHERE lifted_at IS NULL;

-- Operators' wishes about sessions; their holders look every second, and when told.
ALTER TABLE accounts ADD COLUMN drained boolean NOT NULL DEFAULT false;  -- no new claims; binds stay for receipts

CREATE TABLE bind_controls (
    account_id integer NOT NULL REFERENCES accounts ON DELETE CASCADE,
    number     smallint NOT NULL CHECK (number > 0),
    drained    boolean NOT NULL DEFAULT false,
    rebind_seq integer NOT NULL DEFAULT 0,   -- raised by one: leave the session and come back
    PRIMARY KEY (account_id, number)
);

-- Lanes and fairness.
ALTER TABLE campaigns ADD COLUMN lane smallint NOT NULL DEFAULT 1 CHECK (lane IN (0, 1));  -- 0 express, 1 bulk
ALTER TABLE slices ADD COLUMN worker_id integer;  -- who released it claims from it, others when that one cannot

CREATE TABLE workspace_weights (             -- absent: 1
    workspace_id uuid PRIMARY KEY,
    weight       real NOT NULL DEFAULT 1 CHECK (weight > 0 AND weight <= 1000)
);
