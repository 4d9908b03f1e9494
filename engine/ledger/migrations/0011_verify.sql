-- What `heliograph verify` found, each time it ran.

CREATE TABLE verify_runs (
    run_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    trigger      text NOT NULL CHECK (trigger IN ('command', 'core_api', 'daily')),
    started_at   timestamptz NOT NULL DEFAULT now(),
    took_s       double precision NOT NULL,
    holds        boolean NOT NULL,
    body         jsonb NOT NULL              -- engine.core_api.schema.Verification
);
CREATE INDEX verify_runs_daily ON verify_runs (started_at) WHERE trigger = 'daily';
