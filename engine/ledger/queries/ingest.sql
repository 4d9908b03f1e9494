-- name: open
SELECT state, reason, default_country, dialect, byte_offset, lines, job_errors, size_bytes,
       (SELECT count(*) FROM recipient_chunks c WHERE c.upload_id = u.upload_id) AS chunks
FROM uploads u WHERE upload_id = $1;

-- name: move
-- Compare-and-swap on the offset: two writers of one upload cannot both count their rows.
UPDATE uploads
SET byte_offset = $3, lines = lines + $4, rows = rows + $5 + $6 + $7, accepted = accepted + $5,
    duplicates = duplicates + $6, job_errors = job_errors + $7, dialect = $8::jsonb
WHERE upload_id = $1 AND byte_offset = $2 AND state = 'open'
RETURNING upload_id;

-- name: add_chunk
INSERT INTO recipient_chunks (upload_id, chunk_no, row_count, byte_end, digest, data)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: add_errors
INSERT INTO job_errors (upload_id, line_no, code, detail)
SELECT $1, line_no, code, detail
FROM unnest($2::bigint[], $3::text[], $4::text[]) WITH ORDINALITY AS found (line_no, code, detail, place)
ORDER BY place;

-- name: count_errors
INSERT INTO job_error_counts AS counts (upload_id, code, count)
SELECT $1, code, count FROM unnest($2::text[], $3::bigint[]) AS found (code, count)
ON CONFLICT (upload_id, code) DO UPDATE SET count = counts.count + excluded.count;

-- name: digests
SELECT digest FROM recipient_chunks WHERE upload_id = $1 ORDER BY chunk_no;

-- name: complete
UPDATE uploads SET state = 'complete', completed_at = now(), digest = $2 WHERE upload_id = $1 AND state = 'open';

-- name: fail
UPDATE uploads SET state = 'failed', reason = $2 WHERE upload_id = $1 AND state = 'open';

-- name: used
SELECT EXISTS (SELECT FROM campaigns WHERE upload_id = $1);

-- name: discard
UPDATE uploads
SET state = 'discarded', byte_offset = 0, lines = 0, rows = 0, accepted = 0, duplicates = 0, job_errors = 0,
    digest = NULL, dialect = NULL
WHERE upload_id = $1;

-- name: drop_chunks
DELETE FROM recipient_chunks WHERE upload_id = $1;

-- name: drop_errors
DELETE FROM job_errors WHERE upload_id = $1;

-- name: drop_error_counts
DELETE FROM job_error_counts WHERE upload_id = $1;
