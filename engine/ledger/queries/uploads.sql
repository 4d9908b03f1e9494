-- name: create
INSERT INTO uploads (upload_id, workspace_id, file_name, size_bytes, default_country)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (upload_id) DO NOTHING;

-- name: get
SELECT * FROM uploads WHERE upload_id = $1;

-- name: chunks
SELECT chunk_no, row_count FROM recipient_chunks WHERE upload_id = $1 ORDER BY chunk_no;

-- name: chunk
SELECT data FROM recipient_chunks WHERE upload_id = $1 AND chunk_no = $2;
