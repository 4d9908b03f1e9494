-- Routes in dispatch. A campaign's rows go in legs: rows that take the same channels in the same order. A campaign
-- that names its channel has one leg from the start; one that goes by routes gets its legs when it begins.

DROP TABLE campaign_plans;                   -- never filled: the release before kept routes without using them
DROP TABLE chunk_plans;
ALTER TABLE campaigns DROP COLUMN routed;
ALTER TABLE campaigns ALTER COLUMN channel_id DROP NOT NULL;   -- null: by routes
ALTER TABLE campaigns ADD COLUMN category text NOT NULL DEFAULT '';

CREATE TABLE legs (
    campaign_id uuid NOT NULL REFERENCES campaigns,
    leg_no      smallint NOT NULL,
    channel_ids integer[] NOT NULL,          -- in the order of trying; none: no route leads there
    unfit       integer[] NOT NULL DEFAULT '{}',  -- of them: cannot carry the campaign as they are set up
    next_chunk  integer NOT NULL DEFAULT 0,  -- planner's position: the leg's first row not yet in a slice
    next_row    integer NOT NULL DEFAULT 0,  -- among the leg's rows of that chunk
    PRIMARY KEY (campaign_id, leg_no)
);
INSERT INTO legs (campaign_id, leg_no, channel_ids, next_chunk, next_row)
SELECT campaign_id, 0, ARRAY[channel_id], next_chunk, next_row FROM campaigns;
ALTER TABLE campaigns DROP COLUMN next_chunk, DROP COLUMN next_row;

-- A chunk's rows by leg, where there is more than one: leg i's rows end at ends[i + 1] of `permutation` (the chunk's
-- rows in that order, int32 little-endian; null: as they are).
CREATE TABLE chunk_plans (
    campaign_id uuid NOT NULL REFERENCES campaigns,
    chunk_no    integer NOT NULL,
    ends        integer[] NOT NULL,
    permutation bytea,
    PRIMARY KEY (campaign_id, chunk_no)
);
ALTER TABLE chunk_plans ALTER COLUMN permutation SET STORAGE EXTERNAL;

-- Of each chunk the rows that are a leg's: [row_start, row_start + row_count) of its permutation.
CREATE VIEW leg_chunks AS
SELECT l.campaign_id, l.leg_no, r.chunk_no, coalesce(p.ends[l.leg_no], 0) AS row_start,
       coalesce(p.ends[l.leg_no + 1] - coalesce(p.ends[l.leg_no], 0), r.row_count) AS row_count
FROM legs l
JOIN campaigns c USING (campaign_id)
JOIN recipient_chunks r USING (upload_id)
LEFT JOIN chunk_plans p ON p.campaign_id = l.campaign_id AND p.chunk_no = r.chunk_no;

ALTER TABLE slices ADD COLUMN leg_no smallint NOT NULL DEFAULT 0;
ALTER TABLE slices ALTER COLUMN channel_id DROP NOT NULL;      -- null: no route leads there
ALTER TABLE doubts ADD COLUMN channel_id integer;              -- null, in older rows: the slice's

ALTER TABLE error_map DROP CONSTRAINT error_map_class_check;
ALTER TABLE error_map ADD CONSTRAINT error_map_class_check
    CHECK (class IN ('session', 'throttle', 'queue_full', 'temporary', 'channel', 'permanent'));
