-- name: hot
-- The partition that takes the day's next slices. Locked: its counters move in the caller's transaction.
SELECT partition_no, next_number, planned_rows
FROM submission_partitions
WHERE day = $1
ORDER BY partition_no DESC
LIMIT 1
FOR UPDATE;

-- name: advance
-- The first of $2 numbers of the day's hot partition; nothing where it has $4 rows already, or not so many of $5 numbers.
UPDATE submission_partitions p
SET next_number = p.next_number + $2, planned_rows = p.planned_rows + $3
FROM (SELECT partition_no
      FROM submission_partitions
      WHERE day = $1
      ORDER BY partition_no DESC
      LIMIT 1
      FOR UPDATE) hot
WHERE p.day = $1 AND p.partition_no = hot.partition_no AND p.planned_rows < $4 AND p.next_number + $2 <= $5
RETURNING p.partition_no, p.next_number - $2 AS first;

-- name: lock
SELECT pg_advisory_xact_lock($1);

-- name: create
CREATE TABLE {name} (LIKE {parent} INCLUDING ALL);

-- name: check
-- With it ATTACH need not scan.
ALTER TABLE {name} ADD CONSTRAINT bounds CHECK (slice_id >= {low} AND slice_id < {high});

-- name: attach
ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({high});

-- name: uncheck
ALTER TABLE {name} DROP CONSTRAINT bounds;

-- name: insert
INSERT INTO submission_partitions (day, partition_no, name, receipts) VALUES ($1, $2, $3, $4);

-- name: closed
SELECT p.name, p.planned_rows
FROM submission_partitions p
WHERE p.indexed_at IS NULL
  AND (p.day < $1 OR EXISTS (SELECT FROM submission_partitions n
                             WHERE n.day = p.day AND n.partition_no > p.partition_no))
  AND NOT EXISTS (SELECT FROM slices s
                  WHERE s.state = 'open'
                    AND s.slice_id >= (p.day::bigint << 40) | (p.partition_no::bigint << 28)
                    AND s.slice_id < (p.day::bigint << 40) | ((p.partition_no + 1)::bigint << 28))
ORDER BY p.day, p.partition_no;

-- name: index_smsc_id
CREATE INDEX CONCURRENTLY IF NOT EXISTS {name}_smsc_id ON {name} (account_id, smsc_id) WHERE smsc_id IS NOT NULL;

-- name: index_msisdn
CREATE INDEX CONCURRENTLY IF NOT EXISTS {name}_msisdn ON {name} (msisdn);

-- name: indexed
UPDATE submission_partitions SET indexed_at = now() WHERE name = $1;
