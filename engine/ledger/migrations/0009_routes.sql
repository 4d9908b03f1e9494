-- Routes: which channels a number's messages go over. The longest prefix counts, then the route that says most
-- (workspace, category, sender kind, lane), then the lower position.

CREATE TABLE routes (
    route_id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL UNIQUE,
    position     integer NOT NULL DEFAULT 100,
    prefix       text NOT NULL DEFAULT '' CHECK (prefix ~ '^[0-9]{0,15}$'),
    workspace_id uuid,                       -- null: any; so are the others
    category     text,
    sender_kind  text CHECK (sender_kind IN ('alphanumeric', 'international', 'short_code')),
    lane         smallint CHECK (lane IN (0, 1)),
    enabled      boolean NOT NULL DEFAULT true,
    version      integer NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE route_channels (                -- tier 1 first; within a tier by weight
    route_id   integer NOT NULL REFERENCES routes ON DELETE CASCADE,
    tier       smallint NOT NULL CHECK (tier > 0),
    channel_id integer NOT NULL REFERENCES channels,
    weight     smallint NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),
    PRIMARY KEY (route_id, channel_id)
);

-- How a campaign's rows are spread over its channels, a chunk at a time, made once before its first slice. Rows of
-- one channel stand together: `permutation` holds the chunk's rows in that order (int32 little-endian; null: as they
-- are), channel i's end at ends[i]. channel 0: no route, blocked.
CREATE TABLE chunk_plans (
    campaign_id uuid NOT NULL REFERENCES campaigns,
    chunk_no    integer NOT NULL,
    channel_ids integer[] NOT NULL,
    ends        integer[] NOT NULL,
    permutation bytea,
    PRIMARY KEY (campaign_id, chunk_no)
);
ALTER TABLE chunk_plans ALTER COLUMN permutation SET STORAGE EXTERNAL;

CREATE TABLE campaign_plans (                -- planner's position on each channel: the first row not yet in a slice
    campaign_id uuid NOT NULL REFERENCES campaigns,
    channel_id  integer NOT NULL REFERENCES channels,
    next_chunk  integer NOT NULL DEFAULT 0,
    next_row    integer NOT NULL DEFAULT 0,
    PRIMARY KEY (campaign_id, channel_id)
);
ALTER TABLE campaigns ADD COLUMN routed boolean NOT NULL DEFAULT false;   -- planned by campaign_plans, not by next_chunk
