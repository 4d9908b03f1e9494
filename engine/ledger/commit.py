"""One batch, one transaction: rows by binary COPY, counters, claims. Repeatable where the answer to
COMMIT was lost."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from uuid import UUID

from engine._fast.columns import ACCEPTED, DEFERRED, DOUBT, FAILED
from engine.ledger import fold, holds, intake, reconcile, retries, tables, wallets
from engine.ledger.batch import Batch, MessageKey
from engine.ledger.claims import CampaignKey
from engine.ledger.pool import Connection
from engine.ledger.rows import CopyStream
from engine.ledger.sql import load
from engine.ledger.states import MessageState

_COUNTERS = (
    "sent", "delivered", "undelivered", "no_receipt", "failed", "in_doubt", "submissions", "parts",
    "throttled", "retried", "receipts", "charged",
)  # fmt: skip
_MESSAGES = ("sent", "delivered", "undelivered", "no_receipt", "failed", "in_doubt")
_BY_ROWS = (*_MESSAGES, "submissions", "parts", "retried", "charged")


async def commit(
    connection: Connection,
    worker_id: int,
    number: int,
    batch: Batch,
    early: set[MessageKey],
    *,
    careful: bool,
) -> set[MessageKey]:
    """Write the batch as the worker's `number`-th, once. Returns the new `early` set.

    `early`: multi-part messages that had a receipt or a late result before their last part's outcome;
    when that comes, the tally counts them without it and the difference is added here. `careful` takes
    batches that hold a row that is there already (never normal): every state is reckoned by SQL. So are
    those of a worker that was taken over: what it reports now was counted as in doubt.
    """
    queries = load("commit")
    async with connection.transaction():
        fenced = await connection.fetchval(queries["take_number"], worker_id, number)
        if fenced is None:
            last = await connection.fetchval(queries["last_number"], worker_id)
            if last is None:
                raise LookupError(f"no worker {worker_id}")
            assert last == number, "batches are committed in order"
            return await _still_early(connection, early | batch.slow)
        if careful or fenced:
            if fenced and batch.moved:
                await _take_over(connection, worker_id)
            deltas, early = await _write_carefully(connection, worker_id, batch, early, fenced=fenced)
        else:
            deltas, early = await _write(connection, batch, early)
            if batch.moved or batch.endings:
                await _pay(connection, worker_id, batch, batch.holds, batch.endings)
        if batch.deferrals and not fenced:
            await retries.write(connection, retries.gather(batch.deferrals, datetime.now(UTC)))
        await add_deltas(connection, worker_id, deltas)
        await add_errors(connection, worker_id, batch.errors)
        await _add_codes(connection, worker_id, batch.codes)
        await intake.write(connection, worker_id, batch.intake)
        await _close(connection, batch)
    return early


async def _write(
    connection: Connection, batch: Batch, early: set[MessageKey]
) -> tuple[dict[CampaignKey, Counter[str]], set[MessageKey]]:
    deltas = {campaign: Counter(counted) for campaign, counted in batch.deltas.items()}
    tallied = _tallied_now(batch, early)
    slow = batch.slow | tallied
    # results alone need no lock: only receipts and late results meet what others count
    await reconcile.lock(
        connection, [campaign.campaign_id for campaign in batch.first_verdicts], batch.slow_campaigns
    )
    settled = await _settled(connection, batch)
    await _copy(connection, "submissions", tables.SUBMISSIONS, batch.submissions)
    await _copy(connection, "doubts", tables.DOUBTS, batch.doubts)
    fast, reckoned = CopyStream(), CopyStream()
    # a repeat of what a slow one raises must not be seen before it
    reckoned.extend(batch.slow_receipts)
    reckoned.extend(batch.quiet_receipts)
    for campaign, group in batch.first_verdicts.items():
        # a message whose retry's outcome is in this batch too is not counted as sent yet
        if campaign.campaign_id in settled or (
            batch.untallied and not batch.untallied.isdisjoint(group.keys())
        ):
            slow |= set(group.keys())
            reckoned.extend(group.stream)
        else:
            fast.extend(group.stream)
            counted = deltas.setdefault(campaign, Counter())
            counted["delivered"] += group.delivered
            counted["undelivered"] += group.undelivered
    await _copy(connection, "receipts", tables.RECEIPTS, fast)
    before = await reconcile.states(connection, slow, early - batch.untallied)
    await _copy(connection, "submissions", tables.SUBMISSIONS, batch.late)
    await _copy(connection, "doubts", tables.DOUBTS, batch.late_doubts)
    await _copy(connection, "receipts", tables.RECEIPTS, reckoned)
    await _copy(connection, "orphan_receipts", tables.ORPHANS, batch.orphans)
    after = await reconcile.states(connection, slow)
    await fold.changed(connection, before)
    await _merge(connection, deltas, reconcile.changes(before, after))
    known = {key for key, (_, state) in after.items() if state is MessageState.OPEN}
    return deltas, (early - after.keys()) | known


async def _take_over(connection: Connection, worker_id: int) -> None:
    """Of a worker that was taken over: its claims end now, if they have not yet. So what its outcomes cost
    is held, and nothing of it reserved otherwise."""
    from engine.ledger import recovery  # which imports this module

    await recovery.take_over(connection, worker_id, worker_id)


async def _pay(
    connection: Connection,
    worker_id: int,
    batch: Batch,
    held: Iterable[holds.Hold],
    endings: Collection[holds.Ending],
    moved: dict[UUID, wallets.Moved] | None = None,
) -> None:
    """Move the money of these outcomes. Before any slice or claim is touched: money is locked first."""
    if moved is None:
        moved = {
            id_: wallets.Moved(each.free, each.reserved, each.charged) for id_, each in batch.moved.items()
        }
    await holds.add(connection, held)
    await holds.end(connection, endings, moved)
    await wallets.book(connection, worker_id, moved)


async def _pay_carefully(connection: Connection, worker_id: int, batch: Batch, *, fenced: bool) -> None:
    """The same by the staged rows that the ledger does not have yet."""
    rows = await connection.fetch(load("commit")["staged_known"])
    known = {(row["slice_id"], row["row_no"], row["part"], row["attempt"], row["doubt"]) for row in rows}

    def is_new(each: holds.Ending | holds.Hold, *, doubt: bool = False) -> bool:
        return (each.slice_id, each.row, each.part, each.attempt, doubt) not in known

    on_time = [each for some in batch.on_time for each in some()]
    endings = [each for each in batch.endings if is_new(each)]
    if fenced:  # its claims are closed, and what they had reserved is held
        endings = [each for each in on_time if is_new(each)] + endings
        endings = [each._replace(outcome=FAILED) if each.outcome == DEFERRED else each for each in endings]
        await _pay(connection, worker_id, batch, (), endings, {})
        return
    moved: dict[UUID, wallets.Moved] = {}
    for each in on_time:
        of, fresh = (
            moved.setdefault(each.workspace_id, wallets.Moved()),
            is_new(each, doubt=each.outcome == DOUBT),
        )
        if each.outcome == ACCEPTED and fresh:
            of.charge(each.cost)
        elif each.outcome in (ACCEPTED, FAILED, DEFERRED) or (each.outcome == DOUBT and not fresh):
            of.refund(each.cost)
    held = [each for each in batch.holds if is_new(each, doubt=True)]
    await _pay(connection, worker_id, batch, held, endings, moved)


async def _write_carefully(
    connection: Connection, worker_id: int, batch: Batch, early: set[MessageKey], *, fenced: bool
) -> tuple[dict[CampaignKey, Counter[str]], set[MessageKey]]:
    queries = load("commit")
    deltas = {
        campaign: Counter({name: n for name, n in counted.items() if name not in _BY_ROWS})
        for campaign, counted in batch.deltas.items()
    }
    touched = {campaign.campaign_id for campaign in (*batch.deltas, *batch.first_verdicts)}
    await reconcile.lock(connection, (), touched | batch.slow_campaigns)
    await connection.execute(queries["stage"])
    await _copy(connection, "staged_submissions", tables.SUBMISSIONS, batch.submissions)
    await _copy(connection, "staged_submissions", tables.SUBMISSIONS, batch.late)
    await _copy(connection, "staged_doubts", tables.DOUBTS, batch.doubts)
    await _copy(connection, "staged_doubts", tables.DOUBTS, batch.late_doubts)
    if fenced:
        await connection.execute(queries["refuse_deferred"])
    keys = {(row["slice_id"], row["row_no"]) for row in await connection.fetch(queries["staged_keys"])}
    keys |= batch.slow
    for group in batch.first_verdicts.values():
        keys |= set(group.keys())
    before = await reconcile.states(connection, keys)
    if batch.moved or batch.endings:
        await _pay_carefully(connection, worker_id, batch, fenced=fenced)
    for row in await connection.fetch(queries["unstage"]):
        added = {
            row["campaign_id"]: Counter({n: row[n] for n in ("submissions", "parts", "retried", "charged")})
        }
        await _merge(connection, deltas, added)
    await connection.execute(queries["unstage_doubts"])
    receipts = [group.stream for group in batch.first_verdicts.values()]
    for stream in (batch.quiet_receipts, batch.slow_receipts, *receipts):
        await _copy(connection, "receipts", tables.RECEIPTS, stream)
    await _copy(connection, "orphan_receipts", tables.ORPHANS, batch.orphans)
    after = await reconcile.states(connection, keys)
    await fold.changed(connection, before)
    await _merge(connection, deltas, reconcile.changes(before, after))
    return deltas, await _still_early(connection, early | batch.slow)


def _tallied_now(batch: Batch, early: set[MessageKey]) -> set[MessageKey]:
    """Early messages of which a part's outcome is in this batch."""
    if not early:
        return set()
    found: set[MessageKey] = set()
    for slices, rows in batch.multi_part:
        found.update(early.intersection(zip(slices, rows, strict=True)))
    return found


async def _still_early(connection: Connection, keys: set[MessageKey]) -> set[MessageKey]:
    found = await reconcile.states(connection, keys)
    return {key for key, (_, state) in found.items() if state is MessageState.OPEN}


async def _settled(connection: Connection, batch: Batch) -> set[UUID]:
    """Campaigns of first verdicts that were settled meanwhile: their messages are counted as without
    receipt."""
    if not batch.first_verdicts:
        return set()
    ids = [campaign.campaign_id for campaign in batch.first_verdicts]
    return {row["campaign_id"] for row in await connection.fetch(load("commit")["settled"], ids)}


async def _copy(connection: Connection, table: str, columns: tuple[str, ...], stream: CopyStream) -> None:
    if stream.count:
        await connection.copy_to_table(table, source=stream.source(), columns=columns, format="binary")


async def _merge(
    connection: Connection, deltas: dict[CampaignKey, Counter[str]], added: Mapping[UUID, Counter[str]]
) -> None:
    if not added:
        return
    keys = {campaign.campaign_id: campaign for campaign in deltas}
    keys.update(await reconcile.campaign_keys(connection, [id_ for id_ in added if id_ not in keys]))
    for campaign_id, counted in added.items():
        counter = deltas.setdefault(keys[campaign_id], Counter())
        for name, number in counted.items():
            counter[name] += number


async def add_errors(connection: Connection, worker_id: int, errors: Counter[tuple[UUID, str, str]]) -> None:
    """Add to message_errors; keys are campaign, context, code."""
    if not errors:
        return
    keys = sorted(errors)
    await connection.execute(
        load("commit")["add_errors"],
        worker_id,
        datetime.now(UTC),
        [key[0] for key in keys],
        [key[1] for key in keys],
        [key[2] for key in keys],
        [errors[key] for key in keys],
    )


async def add_deltas(
    connection: Connection, worker_id: int, deltas: Mapping[CampaignKey, Counter[str]]
) -> None:
    """Add to campaign_stats, campaign_series and hourly_stats, in the caller's transaction."""
    changed = {campaign: counted for campaign, counted in deltas.items() if any(counted.values())}
    if not changed:
        return
    await connection.execute(
        load("commit")["add_deltas"],
        worker_id,
        datetime.now(UTC),
        [campaign.campaign_id for campaign in changed],
        [campaign.workspace_id for campaign in changed],
        [campaign.channel_id for campaign in changed],
        [campaign.sender for campaign in changed],
        *([counted[name] for counted in changed.values()] for name in _COUNTERS),
    )


async def _add_codes(connection: Connection, worker_id: int, codes: Counter[tuple[int, str, str]]) -> None:
    if not codes:
        return
    keys = sorted(codes)
    now = datetime.now(UTC)
    await connection.execute(
        load("error_map")["count"],
        worker_id,
        now.date(),
        now,
        [key[0] for key in keys],
        [key[1] for key in keys],
        [key[2] for key in keys],
        [codes[key] for key in keys],
    )


async def _close(connection: Connection, batch: Batch) -> None:
    if batch.closed:
        queries = load("commit")
        await connection.execute(queries["close_claims"], list(batch.closed))
        slices = sorted({slice_id for slice_id, _ in batch.closed.values()})
        await connection.execute(queries["close_slices"], slices)
