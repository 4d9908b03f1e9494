-- name: take_number
-- Returns nothing where this batch was committed before and only the answer to COMMIT was lost. Waits for the lost
-- transaction to end, if it still runs. `fenced`: another worker took over this one's claims, or is about to, once
-- this transaction lets go of the row.
UPDATE workers SET last_batch = $2 WHERE worker_id = $1 AND last_batch < $2
RETURNING stopped_at IS NOT NULL AS fenced;

-- name: last_number
SELECT last_batch FROM workers WHERE worker_id = $1;

-- name: lock_campaigns
-- Shared by who adds up in memory, exclusive for who compares states before and after. In one order.
SELECT CASE WHEN k.alone THEN pg_advisory_xact_lock(1128353101, hashtext(k.id::text))
            ELSE pg_advisory_xact_lock_shared(1128353101, hashtext(k.id::text)) END
FROM (SELECT id, alone FROM unnest($1::uuid[], $2::boolean[]) AS u (id, alone) ORDER BY hashtext(id::text), id) k;

-- name: settled
SELECT campaign_id FROM campaigns WHERE campaign_id = ANY ($1::uuid[]) AND settled_at IS NOT NULL;

-- name: states
SELECT campaign_id, slice_id, row_no, state FROM message_states($1, $2, $3);

-- name: keys
-- Channel 0 in the hours: of a campaign by routes, changed by something that does not say its channel.
SELECT campaign_id, workspace_id, coalesce(channel_id, 0) AS channel_id, sender FROM campaigns WHERE campaign_id = ANY ($1::uuid[]);

-- name: add_deltas
-- Rows are by campaign and channel: a campaign by routes has several, its statistics one.
WITH d AS MATERIALIZED (
    SELECT *
    FROM unnest($3::uuid[], $4::uuid[], $5::int[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[],
                $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
                $16::bigint[], $17::bigint[], $18::bigint[])
         AS u (campaign_id, workspace_id, channel_id, sender, sent, delivered, undelivered, no_receipt, failed,
               in_doubt, submissions, parts, throttled, retried, receipts, charged)
), by_campaign AS MATERIALIZED (
    SELECT campaign_id, sender, sum(sent) AS sent, sum(delivered) AS delivered, sum(undelivered) AS undelivered,
           sum(no_receipt) AS no_receipt, sum(failed) AS failed, sum(in_doubt) AS in_doubt,
           sum(submissions) AS submissions, sum(parts) AS parts, sum(throttled) AS throttled, sum(retried) AS retried,
           sum(receipts) AS receipts, sum(charged) AS charged
    FROM d
    GROUP BY campaign_id, sender
), stats AS (
    INSERT INTO campaign_stats AS t (campaign_id, worker_id, sender, sent, delivered, undelivered, no_receipt, failed,
                                     in_doubt, submissions, parts, throttled, retried, receipts, charged)
    SELECT campaign_id, $1, sender, sent, delivered, undelivered, no_receipt, failed, in_doubt, submissions, parts,
           throttled, retried, receipts, charged
    FROM by_campaign
    ON CONFLICT (campaign_id, worker_id, sender) DO UPDATE SET
        sent = t.sent + excluded.sent,
        delivered = t.delivered + excluded.delivered,
        undelivered = t.undelivered + excluded.undelivered,
        no_receipt = t.no_receipt + excluded.no_receipt,
        failed = t.failed + excluded.failed,
        in_doubt = t.in_doubt + excluded.in_doubt,
        submissions = t.submissions + excluded.submissions,
        parts = t.parts + excluded.parts,
        throttled = t.throttled + excluded.throttled,
        retried = t.retried + excluded.retried,
        receipts = t.receipts + excluded.receipts,
        charged = t.charged + excluded.charged
), series AS (
    INSERT INTO campaign_series AS t (campaign_id, bucket, worker_id, sent, delivered, failed)
    SELECT campaign_id, date_bin('10 seconds', $2, timestamptz '2020-01-01 00:00+00'), $1, sent, delivered,
           failed + undelivered
    FROM by_campaign
    WHERE sent <> 0 OR delivered <> 0 OR failed + undelivered <> 0
    ON CONFLICT (campaign_id, bucket, worker_id) DO UPDATE SET
        sent = t.sent + excluded.sent,
        delivered = t.delivered + excluded.delivered,
        failed = t.failed + excluded.failed
)
INSERT INTO hourly_stats AS t (workspace_id, hour, channel_id, worker_id, sender, sent, delivered, failed, parts)
SELECT workspace_id, date_trunc('hour', $2, 'UTC'), channel_id, $1, sender, sum(sent), sum(delivered),
       sum(failed + undelivered), sum(parts)
FROM d
GROUP BY workspace_id, channel_id, sender
HAVING sum(sent) <> 0 OR sum(delivered) <> 0 OR sum(failed + undelivered) <> 0 OR sum(parts) <> 0
ON CONFLICT (workspace_id, hour, channel_id, worker_id, sender) DO UPDATE SET
    sent = t.sent + excluded.sent,
    delivered = t.delivered + excluded.delivered,
    failed = t.failed + excluded.failed,
    parts = t.parts + excluded.parts;

-- name: add_errors
INSERT INTO message_errors AS t (campaign_id, context, code, worker_id, count, last_at)
SELECT u.campaign_id, u.context, u.code, $1, u.count, $2
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::bigint[]) AS u (campaign_id, context, code, count)
ON CONFLICT (campaign_id, context, code, worker_id) DO UPDATE SET
    count = t.count + excluded.count, last_at = excluded.last_at;

-- name: close_claims
UPDATE claims SET closed_at = now() WHERE claim_id = ANY ($1::bigint[]) AND closed_at IS NULL;

-- name: close_slices
UPDATE slices s SET state = 'done'
WHERE s.slice_id = ANY ($1::bigint[])
  AND s.state = 'open'
  AND s.claimed_to = s.row_count
  AND NOT EXISTS (SELECT FROM claims c WHERE c.slice_id = s.slice_id AND c.closed_at IS NULL);

-- name: stage
CREATE TEMP TABLE staged_submissions (LIKE submissions INCLUDING DEFAULTS) ON COMMIT DROP;
CREATE TEMP TABLE staged_doubts (LIKE doubts INCLUDING DEFAULTS) ON COMMIT DROP;

-- name: staged_keys
SELECT DISTINCT slice_id, row_no FROM staged_submissions
UNION
SELECT slice_id, row_no FROM staged_doubts;

-- name: staged_known
-- Staged rows that the ledger has already.
SELECT s.slice_id, s.row_no, s.part, s.attempt, false AS doubt
FROM staged_submissions s
JOIN submissions x USING (slice_id, row_no, part, attempt)
UNION ALL
SELECT s.slice_id, s.row_no, s.part, s.attempt, true
FROM staged_doubts s
JOIN doubts x USING (slice_id, row_no, part, attempt);

-- name: refuse_deferred
-- Of a worker that was taken over: whoever decides about its doubts may send them again, so it may not.
UPDATE staged_submissions SET outcome = 1 WHERE outcome = 5;

-- name: unstage
WITH added AS (
    INSERT INTO submissions SELECT * FROM staged_submissions ON CONFLICT DO NOTHING RETURNING slice_id, outcome, cost
)
SELECT s.campaign_id, count(*) AS submissions, count(*) FILTER (WHERE a.outcome = 0) AS parts,
       count(*) FILTER (WHERE a.outcome IN (2, 5)) AS retried,
       coalesce(sum(a.cost) FILTER (WHERE a.outcome = 0), 0)::bigint AS charged
FROM added a
JOIN slices s USING (slice_id)
GROUP BY s.campaign_id;

-- name: unstage_doubts
INSERT INTO doubts SELECT * FROM staged_doubts ON CONFLICT DO NOTHING;
