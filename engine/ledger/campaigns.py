"""Campaigns on the engine's side: sealed in Pending, moved by commands, counted by summing the statistics."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from engine.core_api import schema
from engine.ledger import decisions, error_codes, reconcile, retries
from engine.ledger.commit import add_deltas, add_errors
from engine.ledger.errors import CampaignExists, ManifestMismatch, NotFound, UploadNotReady, WrongState
from engine.ledger.manifest import Manifest
from engine.ledger.numbers import numbers
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load
from engine.ledger.states import CANCELLED_RETRY, TRANSITIONS, CampaignState

Rate = Callable[[UUID], float]

LANES: tuple[schema.Lane, ...] = ("express", "bulk")  # by campaigns.lane
_REASONS = {"pause": "paused by an operator", "cancel": "cancelled by an operator", "return": "returned"}


def no_rate(_campaign_id: UUID) -> float:
    return 0.0


async def create(pool: Pool, spec: schema.CampaignSpec) -> schema.Campaign:
    """Seal what is to be approved; the campaign waits in Pending. Idempotent by `spec.decision_id`.

    A campaign that was returned is sealed anew under its id. Raises NotFound (channel, upload),
    UploadNotReady, CampaignExists, DecisionReused.
    """
    async with pool.acquire() as connection, connection.transaction():
        return await decisions.once(
            connection,
            spec.decision_id,
            "seal",
            msgspec.json.encode(spec, order="deterministic"),
            schema.Campaign,
            lambda: _seal(connection, spec),
        )


async def _seal(connection: Connection, spec: schema.CampaignSpec) -> schema.Campaign:
    queries = load("campaigns")
    channel_id = None
    if spec.channel:
        channel_id = await connection.fetchval(queries["channel"], spec.channel)
        if channel_id is None:
            raise NotFound(f"no enabled channel {spec.channel!r}")
    upload = await connection.fetchrow(queries["upload"], spec.upload_id, spec.workspace_id)
    if upload is None:
        raise NotFound(f"no upload {spec.upload_id} in workspace {spec.workspace_id}")
    if upload["state"] != "complete" or upload["digest"] is None:
        raise UploadNotReady(f"upload {spec.upload_id} is {upload['state']}")
    if upload["accepted"] == 0:
        raise UploadNotReady(f"upload {spec.upload_id} has no valid recipient")
    manifest = Manifest(
        campaign_id=spec.campaign_id,
        workspace_id=spec.workspace_id,
        upload_id=spec.upload_id,
        upload_digest=bytes(upload["digest"]),
        recipients=upload["accepted"],
        text=spec.text,
        sender=spec.sender,
        sender_revision_id=spec.sender_revision_id,
        channel_id=channel_id,
        channel=spec.channel,
        options=spec.options,
        in_doubt=spec.in_doubt,
        category=spec.category,
    )
    await connection.execute(queries["seal"], manifest.hash(), spec.campaign_id, manifest.body())
    stored = await connection.fetchval(
        queries["create"],
        spec.campaign_id,
        spec.workspace_id,
        spec.name,
        channel_id,
        spec.sender,
        spec.sender_revision_id,
        spec.text,
        spec.upload_id,
        manifest.hash(),
        upload["accepted"],
        msgspec.json.encode(spec.options).decode(),
        spec.in_doubt,
        spec.category,
    )
    if stored is None:
        raise CampaignExists(f"campaign {spec.campaign_id} exists and was not returned")
    await connection.execute(queries["forget_legs"], spec.campaign_id)
    if channel_id is not None:
        await connection.execute(queries["only_leg"], spec.campaign_id, channel_id)
    await connection.execute(queries["lane"], spec.campaign_id, LANES.index(spec.lane))
    return await _one(connection, spec.campaign_id, no_rate)


async def command(
    pool: Pool, campaign_id: UUID, order: schema.CampaignCommand, *, rate: Rate = no_rate
) -> schema.Campaign:
    """start, pause, resume, cancel or return: compare-and-swap on the state, once per decision id.

    Raises NotFound, WrongState, DecisionReused; for `start` ManifestMismatch where the approved hash is
    not the sealed one, or what is stored no longer hashes to it.
    """
    async with pool.acquire() as connection, connection.transaction():
        body = msgspec.json.encode([campaign_id, order], order="deterministic")
        return await decisions.once(
            connection,
            order.decision_id,
            order.command,
            body,
            schema.Campaign,
            lambda: _move(connection, campaign_id, order, rate),
        )


async def _move(
    connection: Connection, campaign_id: UUID, order: schema.CampaignCommand, rate: Rate
) -> schema.Campaign:
    queries = load("campaigns")
    row = await connection.fetchrow(queries["for_update"], campaign_id)
    if row is None:
        raise NotFound(f"no campaign {campaign_id}")
    sources, target = TRANSITIONS[order.command]
    if row["state"] not in sources:
        raise WrongState(f"a campaign in {row['state']} cannot {order.command}")
    if order.command == "start":
        _check_manifest(row, order.manifest_hash)
    moved = await connection.fetchval(
        queries["move"], campaign_id, row["version"], target.value, _REASONS.get(order.command, "")
    )
    assert moved is not None, "the row is locked"
    return await _one(connection, campaign_id, rate)


def _check_manifest(row: asyncpg.Record, approved: str | None) -> None:
    """The approved, the sealed and the stored must be one."""
    stored = manifest_of(row)
    if approved is None or approved.lower() != row["manifest_hash"].hex():
        raise ManifestMismatch("the approval is for another manifest than the sealed one")
    if stored.hash() != row["manifest_hash"]:
        raise ManifestMismatch("the stored campaign is not what was sealed")


def manifest_of(row: asyncpg.Record) -> Manifest:
    """The manifest of a campaign as its rows stand now (query `for_update` or `manifest_parts`)."""
    return Manifest(
        campaign_id=row["campaign_id"],
        workspace_id=row["workspace_id"],
        upload_id=row["upload_id"],
        upload_digest=bytes(row["digest"] or b""),
        recipients=row["upload_accepted"],
        text=row["text"],
        sender=row["sender"],
        sender_revision_id=row["sender_revision_id"],
        channel_id=row["channel_id"],
        channel=row["channel"],
        options=msgspec.json.decode(row["options"], type=schema.MessageOptions),
        in_doubt=row["in_doubt"],
        category=row["category"],
    )


async def get(pool: Pool, campaign_id: UUID, *, rate: Rate = no_rate) -> schema.Campaign:
    """Raises NotFound. `rate` gives messages/s accepted by the operator now."""
    async with pool.acquire() as connection:
        return await _one(connection, campaign_id, rate)


async def channels(pool: Pool, campaign_id: UUID) -> schema.CampaignChannels:
    """Over which channels its messages go. Raises NotFound."""
    async with pool.acquire() as connection:
        await _one(connection, campaign_id, no_rate)
        rows = await connection.fetch(load("legs")["channels"], campaign_id)
    return schema.CampaignChannels(channels=[schema.CampaignChannel(**row) for row in rows])


async def get_many(
    pool: Pool, campaign_ids: Iterable[UUID], *, rate: Rate = no_rate
) -> list[schema.Campaign]:
    """Those that exist, in the order asked for."""
    wanted = list(campaign_ids)
    async with pool.acquire() as connection:
        rows = await connection.fetch(load("campaigns")["view"], wanted)
    found = {row["campaign_id"]: _campaign(row, rate) for row in rows}
    return [found[campaign_id] for campaign_id in wanted if campaign_id in found]


async def counts(connection: Connection, campaign_id: UUID) -> schema.Counts:
    """The statistics of a campaign, summed over workers and senders. Raises NotFound."""
    row = await connection.fetchrow(load("campaigns")["view"], [campaign_id])
    if row is None:
        raise NotFound(f"no campaign {campaign_id}")
    return counts_of(row)


async def _one(connection: Connection, campaign_id: UUID, rate: Rate) -> schema.Campaign:
    row = await connection.fetchrow(load("campaigns")["view"], [campaign_id])
    if row is None:
        raise NotFound(f"no campaign {campaign_id}")
    return _campaign(row, rate)


def counts_of(row: asyncpg.Record | dict[str, Any]) -> schema.Counts:
    """Counts of a row with `accepted` and the columns of `campaign_stats`: `waiting` and `in_flight`
    follow."""
    final = (
        "delivered",
        "undelivered",
        "no_receipt",
        "failed",
        "blocked",
        "expired",
        "cancelled",
        "in_doubt",
    )
    return schema.Counts(
        accepted=row["accepted"],
        waiting=row["accepted"] - sum(row[name] for name in final),
        in_flight=row["sent"] - row["delivered"] - row["undelivered"] - row["no_receipt"],
        **{
            name: row[name]
            for name in (*final, "submissions", "parts", "throttled", "retried", "receipts", "charged")
        },
    )


def _campaign(row: asyncpg.Record, rate: Rate) -> schema.Campaign:
    counted = counts_of(row)
    rate_per_s = rate(row["campaign_id"]) if row["state"] == CampaignState.SENDING else 0.0
    unsent = counted.waiting - counted.in_flight
    return schema.Campaign(
        campaign_id=row["campaign_id"],
        workspace_id=row["workspace_id"],
        name=row["name"],
        channel=row["channel"],
        sender=row["sender"],
        text=row["text"],
        upload_id=row["upload_id"],
        options=msgspec.json.decode(row["options"], type=schema.MessageOptions),
        in_doubt=row["doubt_policy"],
        lane=LANES[row["lane"]],
        category=row["category"],
        manifest_hash=row["manifest_hash"].hex(),
        state=row["state"],
        reason=row["reason"],
        settled=row["settled_at"] is not None,
        counts=counted,
        rate_per_s=rate_per_s,
        seconds_left=unsent / rate_per_s if rate_per_s > 0 else None,
        created_at=row["created_at"],
        started_at=row["started_at"],
        done_at=row["done_at"],
        settled_at=row["settled_at"],
    )


async def fail(connection: Connection, campaign_id: UUID, reason: str) -> bool:
    """A workflow error that resume cannot cure; never because of message errors. False where already
    ended."""
    return await connection.fetchval(load("campaigns")["fail"], campaign_id, reason) is not None


async def finish_if_done(connection: Connection, campaign_id: UUID) -> bool:
    """Sending -> Done where every chunk is planned, every slice claimed (retry slices too) and every claim
    closed."""
    return await connection.fetchval(load("campaigns")["finish"], campaign_id) is not None


async def count_cancelled(connection: Connection, campaign_id: UUID, worker_id: int) -> int:
    """Close the open slices of a campaign that was Cancelled, or Failed or Expired, and count its never
    claimed rows as cancelled. Parts that wait for a further try get none: they are FAILED.

    Tops up: call it again after a claim gave rows back. Returns how many rows were added, in the caller's
    transaction.
    """
    assert connection.is_in_transaction()
    queries = load("campaigns")
    if await connection.fetchval(queries["lock_cancelled"], campaign_id) is None:
        return 0
    await connection.execute(queries["cancel_slices"], campaign_id)
    await _end_retries(connection, campaign_id, worker_id)
    return int(await connection.fetchval(queries["count_cancelled"], campaign_id, worker_id) or 0)


async def _end_retries(connection: Connection, campaign_id: UUID, worker_id: int) -> None:
    queries = load("retries")
    slices = await connection.fetch(queries["never_again"], campaign_id)
    if not slices:
        return
    await reconcile.lock(connection, (), [campaign_id])
    pairs = []
    for row in slices:
        start = row["claimed_to"]
        left = retries.unpack("i", row["explicit_rows"])[start:].tolist()
        wanted = retries.unpack("h", row["explicit_parts"])[start:].tolist()
        pairs.append((row["origin_slice_id"], left, wanted, row["attempt"], row["resend"]))
    keys = {(slice_id, row) for slice_id, rows, *_ in pairs for row in rows}
    before = await reconcile.states(connection, keys)
    failed = 0
    for slice_id, rows, parts, attempt, resend in pairs:
        given_up = await connection.fetch(
            queries["cancel_pairs"], slice_id, rows, parts, attempt, CANCELLED_RETRY
        )
        failed += len(given_up)
        if resend:
            await connection.execute(queries["undecide"], slice_id, rows)
            continue
        whole = [row for row, part in zip(rows, parts, strict=True) if part == 0]  # never sent at all
        found = await numbers(connection, slice_id, whole)
        given = list(found.values())
        given_up = await connection.fetch(
            queries["cancel_whole"], slice_id, list(found), given, attempt, CANCELLED_RETRY
        )
        failed += len(given_up)
    after = await reconcile.states(connection, keys)
    named = await reconcile.campaign_keys(connection, [campaign_id])
    delta = reconcile.changes(before, after).get(campaign_id, Counter())
    delta["submissions"] += failed
    await add_deltas(connection, worker_id, {named[campaign_id]: delta})
    if failed:
        code = error_codes.response_code(CANCELLED_RETRY)
        await add_errors(connection, worker_id, Counter({(campaign_id, "response", code): failed}))
