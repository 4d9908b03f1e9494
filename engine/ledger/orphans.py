"""Orphan receipts are tried again: the recent ones every few seconds, the others every minute, to the
horizon. Here an id is looked up in every spelling it may have (`matching`)."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import structlog

from engine._fast.columns import ReceiptBatch
from engine.ledger import error_codes, fold, partitions, reconcile
from engine.ledger.batch import MessageKey
from engine.ledger.commit import add_deltas, add_errors
from engine.ledger.matcher import Matcher
from engine.ledger.matching import Candidate, Found, MatchedBy, choose, spellings
from engine.ledger.pool import Connection
from engine.ledger.rows import completed
from engine.ledger.sql import load
from engine.ledger.states import MessageState
from engine.smpp import dates

log = structlog.get_logger(__name__)

HORIZON_S = 72 * 3600
AT_ONCE = 20_000  # one scan of the hot partition serves them all
WIDE_AT_ONCE = 2_000  # of them in every spelling
HURRY_S = 0.25
FULL_EVERY = 20  # sweeps
CLOCKS_S = 5  # a receipt may seem this much older than its submission: two workers' clocks


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission that may be a receipt's, and who counts it."""

    candidate: Candidate
    campaign_id: UUID
    owner: int | None  # None: any worker


@dataclass(frozen=True, slots=True)
class Move:
    """An orphan becomes a receipt."""

    orphan: asyncpg.Record
    found: Found
    campaign_id: UUID


class OrphanSweep:
    def __init__(self, interval_s: float, matcher: Matcher) -> None:
        self._interval_s = interval_s
        self._matcher = matcher
        self.next_at = 0.0  # monotonic
        self._sweeps = 0
        self._after = 0  # where the next full sweep goes on
        self._full = False
        self._wide_after = 0  # newer orphans were not looked up in every spelling yet

    def due(self, now: float) -> bool:
        if now < self.next_at:
            return False
        self.next_at = now + self._interval_s
        return True

    def swept(self, tried: int, matched: int, now: float) -> None:
        """A full sweep that matched most of what it tried has more behind it: the next one comes at once."""
        if (tried == AT_ONCE and matched > tried // 2) or matched >= WIDE_AT_ONCE // 2:
            self.next_at = min(self.next_at, now + HURRY_S)

    async def load(self, connection: Connection) -> list[asyncpg.Record]:
        """The open orphans to try now, at most AT_ONCE."""
        full = self._full = self._sweeps % FULL_EVERY == 0
        horizon_s = float(max(HORIZON_S, self._matcher.longest_horizon_s))
        after = self._after if full else 0
        rows = await connection.fetch(load("orphans")["open"], full, after, AT_ONCE, horizon_s)
        self._sweeps += 1
        if full:
            self._after = rows[-1]["orphan_id"] if len(rows) == AT_ONCE else 0
        return list(rows)

    def mark(self, orphans: list[asyncpg.Record]) -> None:
        """Tell the recent ids these verdicts: a repeat must not count as the first."""
        by_account: dict[int, ReceiptBatch] = {}
        for row in orphans:
            batch = by_account.setdefault(row["account_id"], ReceiptBatch())
            batch.ids += row["smsc_id"].encode()
            batch.id_end.append(len(batch.ids))
            batch.verdict.append(row["verdict"])
            batch.msisdn.append(row["msisdn"])
            batch.count += 1
        for account_id, batch in by_account.items():
            batch.kind = array("b", bytes(batch.count))
            self._matcher.mark(completed(batch), account_id)

    async def match(
        self, connection: Connection, worker_id: int, orphans: list[asyncpg.Record]
    ) -> tuple[int, set[MessageKey]]:
        """Turn orphans whose submission is found into receipts. One transaction, repeatable.

        Returns how many, and the messages among theirs of which a part has no outcome yet.
        """
        queries = load("orphans")
        async with connection.transaction():
            await connection.execute(load("receipts")["lock_heirs"], False)
            moves = await self._find(connection, worker_id, orphans)
            early = await self._move(connection, worker_id, moves) if moves else set()
            taken = {move.orphan["orphan_id"] for move in moves}
            left = [row["orphan_id"] for row in orphans if row["orphan_id"] not in taken]
            if left:
                await connection.execute(queries["test_parts"], left)
            retried = [row["orphan_id"] for row in orphans if row["retried"]]
            if retried:
                await connection.execute(queries["tried"], retried)
        for move in moves:
            self._teach(move)
        if moves:
            log.info("orphan receipts matched", matched=len(moves))
        return len(moves), early

    def _teach(self, move: Move) -> None:
        row, found = move.orphan, move.found
        if found.unambiguous:
            self._matcher.note(row["account_id"], found.by)
        if row["submitted_s"] is not None:
            sent_s = int(found.candidate.sent_at.timestamp())
            self._matcher.sample(row["account_id"], row["submitted_s"], sent_s)

    # looking up ---------------------------------------------------------------------------------------------

    async def _find(
        self, connection: Connection, worker_id: int, orphans: list[asyncpg.Record]
    ) -> list[Move]:
        queries = load("orphans")
        horizon_s = max(HORIZON_S, self._matcher.longest_horizon_s)
        since = (partitions.today() - horizon_s // 86_400 - 1) << 40
        direct: list[asyncpg.Record] = []
        wide: list[asyncpg.Record] = []
        for row in orphans:
            rules = self._matcher.rules(row["account_id"])
            (wide if rules.bases.order[0] is not MatchedBy.EXACT else direct).append(row)
        moves = []
        if direct:
            accounts = list({row["account_id"] for row in direct})
            ids = [row["smsc_id"] for row in direct]
            by_key: dict[tuple[int, str], list[Submission]] = defaultdict(list)
            for row in await connection.fetch(queries["exact"], accounts, ids, since):
                by_key[row["account_id"], row["smsc_id"]].append(_submission(row))
            for row in direct:
                candidates = by_key.get((row["account_id"], row["smsc_id"]))
                move = self._choose(row, candidates, worker_id) if candidates else None
                if move:
                    moves.append(move)
                elif not candidates:
                    wide.append(row)
        fresh = [row for row in wide if self._full or row["retried"] or row["orphan_id"] > self._wide_after]
        fresh.sort(key=lambda row: row["orphan_id"])
        if fresh:
            moves += await self._find_wide(connection, worker_id, fresh[:WIDE_AT_ONCE], since)
            if not self._full:
                self._wide_after = max(self._wide_after, fresh[:WIDE_AT_ONCE][-1]["orphan_id"])
        return moves

    async def _find_wide(
        self, connection: Connection, worker_id: int, orphans: list[asyncpg.Record], since: int
    ) -> list[Move]:
        """By every spelling, and by the number they are about."""
        ids: set[str] = set()
        numbers: set[int] = set()
        for row in orphans:
            ids |= spellings(row["smsc_id"], self._matcher.rules(row["account_id"]).bases)
            numbers.update(_destinations(row))
        accounts = list({row["account_id"] for row in orphans})
        by_account: dict[int, list[Submission]] = defaultdict(list)
        rows = await connection.fetch(
            load("orphans")["candidates"], accounts, list(ids), list(numbers), since
        )
        for row in rows:
            by_account[row["account_id"]].append(_submission(row))
        known = {account: _Index(found) for account, found in by_account.items()}
        moves = []
        for row in orphans:
            index = known.get(row["account_id"])
            if index is None:
                continue
            bases = self._matcher.rules(row["account_id"]).bases
            candidates = index.of(spellings(row["smsc_id"], bases), _destinations(row))
            move = self._choose(row, candidates, worker_id)
            if move:
                moves.append(move)
        return moves

    def _choose(self, row: asyncpg.Record, submissions: Iterable[Submission], worker_id: int) -> Move | None:
        by_candidate = {each.candidate: each for each in submissions}
        found = choose(
            row["smsc_id"],
            _destinations(row),
            row["received_at"] + timedelta(seconds=CLOCKS_S),
            by_candidate,
            self._matcher.rules(row["account_id"]).bases,
        )
        if found is None:
            return None
        submission = by_candidate[found.candidate]
        if submission.owner not in (None, worker_id):
            return None  # its worker has the id in memory, and counts
        return Move(row, found, submission.campaign_id)

    # counting -----------------------------------------------------------------------------------------------

    async def _move(self, connection: Connection, worker_id: int, moves: list[Move]) -> set[MessageKey]:
        campaigns = {move.campaign_id for move in moves}
        await reconcile.lock(connection, (), campaigns)
        keys = {(move.found.candidate.slice_id, move.found.candidate.row_no) for move in moves}
        before = await reconcile.states(connection, keys)
        moved = await connection.fetch(
            load("orphans")["move"],
            [move.orphan["orphan_id"] for move in moves],
            [move.found.candidate.slice_id for move in moves],
            [move.found.candidate.row_no for move in moves],
            [move.found.candidate.part for move in moves],
            [move.found.by for move in moves],
            [self._done_at(move) for move in moves],
        )
        after = await reconcile.states(connection, keys)
        await fold.changed(connection, before)
        deltas = reconcile.changes(before, after)
        campaign_of = {move.found.candidate.slice_id: move.campaign_id for move in moves}
        errors: Counter[tuple[UUID, str, str]] = Counter()
        for row in moved:
            campaign_id = campaign_of[row["slice_id"]]
            deltas.setdefault(campaign_id, Counter())["receipts"] += 1
            if row["verdict"] == 1:
                errors[campaign_id, "receipt", error_codes.receipt_code(row["stat"], row["error"])] += 1
        named = await reconcile.campaign_keys(connection, campaigns)
        await add_deltas(connection, worker_id, {named[id_]: counted for id_, counted in deltas.items()})
        await add_errors(connection, worker_id, errors)
        return {key for key, (_, state) in after.items() if state is MessageState.OPEN}

    def _done_at(self, move: Move) -> datetime:
        row = move.orphan
        if row["done_s"] is None:
            return row["received_at"]  # type: ignore[no-any-return]
        zone = dates.zone(self._matcher.rules(row["account_id"]).receipt_tz)
        offset_s = 0 if dates.is_epoch(row["done_raw"] or "") else dates.offset_s(zone, row["done_s"])
        done_at = datetime.fromtimestamp(row["done_s"] - offset_s, UTC)
        between = move.found.candidate.sent_at.replace(microsecond=0) <= done_at <= row["received_at"]
        return done_at if between else row["received_at"]


class _Index:
    """An account's candidates by id and by number."""

    def __init__(self, submissions: Iterable[Submission]) -> None:
        self._by_id: dict[str, list[Submission]] = defaultdict(list)
        self._by_number: dict[int, list[Submission]] = defaultdict(list)
        for each in submissions:
            self._by_id[each.candidate.smsc_id].append(each)
            self._by_number[each.candidate.msisdn].append(each)

    def of(self, ids: Iterable[str], numbers: Iterable[int]) -> list[Submission]:
        found = {id(each): each for smsc_id in ids for each in self._by_id.get(smsc_id, ())}
        found |= {id(each): each for number in numbers for each in self._by_number.get(number, ())}
        return list(found.values())


def _submission(row: asyncpg.Record) -> Submission:
    candidate = Candidate(
        row["smsc_id"], row["msisdn"], row["sent_at"], row["slice_id"], row["row_no"], row["part"]
    )
    return Submission(candidate, row["campaign_id"], row["owner"])


def _destinations(row: asyncpg.Record) -> list[int]:
    """The numbers a receipt names: who it comes from, and who it goes to, for SMSCs that do not swap them."""
    source = row["source"].removeprefix("+")
    numbers = [row["msisdn"]] if row["msisdn"] > 0 else []
    if source.isascii() and source.isdigit() and len(source) <= 18:
        numbers.append(int(source))
    return numbers
