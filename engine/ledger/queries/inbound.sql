-- name: page
SELECT i.inbound_id, a.name AS account, i.kind, i.source, i.destination, i.body, i.part, i.parts, i.reference,
       i.received_at, i.receipt_at
FROM inbound i
JOIN accounts a USING (account_id)
WHERE ($1::text IS NULL OR a.name = $1) AND i.inbound_id < $2
ORDER BY i.inbound_id DESC
LIMIT $3;

-- name: account
SELECT account_id, settings, learned FROM accounts WHERE name = $1;

-- name: forget_ids
UPDATE accounts SET learned = learned - 'ids' WHERE account_id = $1;
