-- name: count
INSERT INTO code_counts AS t (channel_id, context, code, day, worker_id, count, last_at)
SELECT u.channel_id, u.context, u.code, $2, $1, u.count, $3
FROM unnest($4::int[], $5::text[], $6::text[], $7::bigint[]) AS u (channel_id, context, code, count)
ON CONFLICT (channel_id, day, context, code, worker_id) DO UPDATE SET
    count = t.count + excluded.count, last_at = excluded.last_at;

-- name: classes
-- What dispatch needs: classes of response codes by channel.
SELECT channel_id, code, class FROM error_map WHERE context = 'response' ORDER BY channel_id, code;

-- name: channel
SELECT channel_id, name, tripped_at, tripped_reason FROM channels WHERE name = $1;

-- name: seen
SELECT context, code, sum(count)::bigint AS count, max(last_at) AS last_at
FROM code_counts
WHERE channel_id = $1 AND day > $2::date - 7
GROUP BY context, code;

-- name: mapped
SELECT context, code, class, meaning, note, version FROM error_map WHERE channel_id = $1 ORDER BY context, code;

-- name: one
SELECT class, meaning, note, version FROM error_map WHERE channel_id = $1 AND context = $2 AND code = $3 FOR UPDATE;

-- name: put
INSERT INTO error_map AS m (channel_id, context, code, class, meaning, note)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (channel_id, context, code) DO UPDATE
SET class = excluded.class, meaning = excluded.meaning, note = excluded.note, version = m.version + 1,
    updated_at = now()
WHERE (m.class, m.meaning, m.note) IS DISTINCT FROM (excluded.class, excluded.meaning, excluded.note)
RETURNING version;

-- name: delete
DELETE FROM error_map WHERE channel_id = $1 AND context = $2 AND code = $3 RETURNING code;
