-- Why a bind sends less than it might, as its worker last wrote it.
ALTER TABLE binds
    ADD COLUMN tps_set     real NOT NULL DEFAULT 0,    -- its part of the account's TPS by schedule and shares
    ADD COLUMN slowed_by   text NOT NULL DEFAULT '',
    ADD COLUMN response_ms real;                       -- the account's best, of the last minutes
