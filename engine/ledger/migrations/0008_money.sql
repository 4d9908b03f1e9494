-- Money. Amounts are integers of 1/10,000 of the wallet's unit. A workspace without a wallet is not charged.
-- One equation: wallets.credited = wallets.free + the sum of its lots' free + reserved + charged.

CREATE TABLE wallets (
    workspace_id uuid PRIMARY KEY,
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),      -- ISO 4217, shown only
    free         bigint NOT NULL DEFAULT 0,  -- in no worker's lot
    credited     bigint NOT NULL DEFAULT 0 CHECK (credited >= 0),    -- the sum of its transactions
    opened_at    timestamptz NOT NULL DEFAULT now()
);

-- What a worker drew of a wallet, so that workers do not queue for one row. Nothing of it is kept in memory: what is
-- free may be taken back at any time. reserved and charged are sums of what this worker moved; only their totals
-- over the workers mean something (one worker reserves, another may resolve the doubt). free falls below zero only
-- where an operator wrote a message off and its acceptance came after all: it was sent, and is paid.
CREATE TABLE wallet_lots (
    workspace_id uuid NOT NULL REFERENCES wallets,
    worker_id    integer NOT NULL REFERENCES workers,
    free         bigint NOT NULL DEFAULT 0,
    reserved     bigint NOT NULL DEFAULT 0,
    charged      bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, worker_id)
) WITH (fillfactor = 50);

CREATE TABLE transactions (                  -- append-only: what people changed
    transaction_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id   uuid NOT NULL REFERENCES wallets,
    kind           text NOT NULL CHECK (kind IN ('credit', 'debit')),
    amount         bigint NOT NULL CHECK (amount > 0),
    note           text NOT NULL DEFAULT '',
    actor          text NOT NULL,            -- who did it, as the caller of the Core API says
    decision_id    uuid NOT NULL UNIQUE,
    happened_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX transactions_workspace ON transactions (workspace_id, transaction_id DESC);

CREATE TABLE rate_sheets (                   -- a price list as a whole; never changed once published
    version    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    valid_from timestamptz NOT NULL,
    note       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE rates (                         -- price of one part; the longest prefix, then the most specific, counts
    version    integer NOT NULL REFERENCES rate_sheets,
    prefix     text NOT NULL CHECK (prefix ~ '^[0-9]{0,15}$'),
    channel_id integer REFERENCES channels,  -- null: any
    category   text,                         -- null: any
    price      integer NOT NULL CHECK (price >= 0),
    UNIQUE NULLS NOT DISTINCT (version, prefix, channel_id, category)
);

CREATE TABLE held_money (                    -- still reserved: parts in doubt; gone with the doubt
    slice_id     bigint NOT NULL,
    row_no       integer NOT NULL,
    part         smallint NOT NULL,          -- 0: what is left of the message
    workspace_id uuid NOT NULL REFERENCES wallets,
    amount       bigint NOT NULL CHECK (amount > 0),
    PRIMARY KEY (slice_id, row_no, part)
);
CREATE INDEX held_money_workspace ON held_money (workspace_id);

-- What the rows of a claim cost, all their parts; kept while it is open, to refund and to hold by row.
ALTER TABLE claims
    ADD COLUMN workspace_id uuid REFERENCES wallets,   -- null: not charged
    ADD COLUMN row_costs    bytea;                     -- int32 little-endian, one for each row from row_start on
ALTER TABLE campaigns ADD COLUMN rate_version integer REFERENCES rate_sheets;   -- chosen at its first claim
ALTER TABLE campaign_stats ADD COLUMN charged bigint NOT NULL DEFAULT 0;        -- sum of the accepted parts' cost
COMMENT ON COLUMN submissions.cost IS 'what the part costs where it is accepted (outcome 0); reserved until then';

-- The cost of the claim's row at this place (0-based); and of the rows [first, last).
CREATE FUNCTION row_cost(row_costs bytea, place integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN get_byte(row_costs, 4 * place)::bigint
     + (get_byte(row_costs, 4 * place + 1)::bigint << 8)
     + (get_byte(row_costs, 4 * place + 2)::bigint << 16)
     + (get_byte(row_costs, 4 * place + 3)::bigint << 24);

CREATE FUNCTION rows_cost(row_costs bytea, first integer, last integer) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT coalesce(sum(row_cost(row_costs, place)), 0)::bigint FROM generate_series(first, last - 1) AS place);
