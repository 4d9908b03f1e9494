-- name: lock
SELECT pg_advisory_lock($1);

-- name: has_versions
SELECT to_regclass('schema_versions') IS NOT NULL;

-- name: create_versions
CREATE TABLE IF NOT EXISTS schema_versions (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    digest     bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: version
SELECT coalesce(max(version), 0) FROM schema_versions;

-- name: applied
SELECT version, digest FROM schema_versions;

-- name: record
INSERT INTO schema_versions (version, name, digest) VALUES ($1, $2, $3);
