"""An honest ledger in memory: what is committed is kept, what is not is lost with its worker.

The writer's face is that of `engine.ledger.writer.LedgerWriter`; states are reckoned from committed rows,
part by part, by the definition of a message's state. `statistics` is what the fast path counts: the tally's
updates for claims of living workers, differences of states for everything else.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

from engine._fast.columns import ACCEPTED, DEFERRED, DOUBT, FAILED

_COUNTED = ("sent", "undelivered", "failed", "in_doubt")


class State(Enum):
    WAITING = "waiting"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"


@dataclass
class StoredClaim:
    start: int
    end: int
    worker: object
    rows: tuple = ()  # of a retry slice: its rows
    closed: bool = False


@dataclass
class Ledger:
    parts: list  # of each row
    claimed_to: int = 0
    claims: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)  # (row, part) -> set of outcomes
    doubts: set = field(default_factory=set)  # (row, part); part 0 is the whole message
    verdicts: dict = field(default_factory=dict)  # (row, part) -> highest
    in_time: dict = field(default_factory=dict)  # (row, part) -> outcome as its claim's tally saw it
    ids: dict = field(default_factory=dict)  # SMSC id -> (row, part)
    orphans: dict = field(default_factory=dict)  # SMSC id -> highest verdict
    statistics: Counter = field(default_factory=Counter)
    resent: set = field(default_factory=set)  # rows

    def state(self, row):
        parts = self.parts[row]
        found = [self.results.get((row, part), set()) for part in range(1, parts + 1)]
        accepted = sum(ACCEPTED in one for one in found)
        failed = sum(FAILED in one and ACCEPTED not in one for one in found)
        doubtful = sum(
            not one & {ACCEPTED, FAILED} and (row, part) in self.doubts for part, one in enumerate(found, 1)
        )
        whole = (row, 0) in self.doubts
        verdicts = [self.verdicts.get((row, part), 0) for part in range(1, parts + 1)]
        if not whole and accepted + failed + doubtful < parts:
            return State.WAITING
        if failed and not accepted:
            return State.FAILED
        if failed or 1 in verdicts:
            return State.UNDELIVERED
        if accepted < parts:
            return State.IN_DOUBT
        return State.DELIVERED if verdicts.count(2) == parts else State.SENT

    def recount(self):
        return Counter(self.state(row).value for row in range(len(self.parts)))

    def claim(self, worker, count):
        start, self.claimed_to = self.claimed_to, self.claimed_to + count
        number = len(self.claims) + 1
        self.claims[number] = StoredClaim(start, self.claimed_to, worker)
        return number, start

    def claim_again(self, worker, rows):
        number = len(self.claims) + 1
        self.claims[number] = StoredClaim(0, len(rows), worker, tuple(rows))
        self.resent.update(rows)
        return number

    def give_back(self, number, from_row):
        claim = self.claims[number]
        assert from_row >= claim.start
        assert self.claimed_to == claim.end, "only what was claimed last is given back"
        assert not any(
            (row, part) in self.results for row in range(from_row, claim.end) for part in range(1, 256)
        ), "a row that has a result was given back"
        self.claimed_to = claim.end = from_row
        claim.closed = claim.closed or from_row == claim.start

    def take_over(self, dead):
        """Recovery: what a dead worker had claimed and has no result for is in doubt. Returns the rows."""
        doubted = []
        for claim in self.claims.values():
            if claim.worker is not dead or claim.closed:
                continue
            for row in claim.rows or range(claim.start, claim.end):
                if self.state(row) is State.WAITING:
                    with self.reckoned({row}):
                        self.doubts.add((row, 0))
                    doubted.append(row)
            claim.closed = True
        return doubted

    def reckoned(self, rows):
        return _Reckoned(self, rows)


@dataclass
class _Reckoned:
    """Adds the difference of these messages' states to the statistics, as the ledger's slow path does."""

    ledger: Ledger
    rows: set

    def __enter__(self):
        self.before = {row: self.ledger.state(row) for row in self.rows}

    def __exit__(self, kind, error, trace):
        for row, was in self.before.items():
            now = self.ledger.state(row)
            if now is not was:
                self.ledger.statistics[was.value] -= was is not State.WAITING
                self.ledger.statistics[now.value] += now is not State.WAITING


class Writer:
    """Buffers like the engine's; `commit` makes it true, a crash forgets it."""

    def __init__(self, ledger, worker):
        self.ledger = ledger
        self.worker = worker
        self.fenced = False  # taken over: what it reports is reckoned, never tallied
        self.pending = self.pending_outcomes = 0
        self._buffer = []

    def results(self, bind, batch, outcome, updates, claims, deferrals=()):
        start = 0
        rows = []
        for i in range(batch.count):
            smsc_id, start = bytes(batch.ids[start : batch.id_end[i]]), batch.id_end[i]
            info = claims[batch.claim[i]]
            slow = bool(batch.late[i]) or bool(info.origin_slice_id)
            rows.append((batch.row[i], batch.part[i], outcome[i], smsc_id, slow))
        counted = [
            (claims[one.claim], {name: getattr(one, name) for name in _COUNTED}, one.closed)
            for one in updates
        ]
        assert not deferrals or DEFERRED in outcome
        self._buffer.append(("results", rows, counted))
        self.pending_outcomes += batch.count
        self.pending += batch.count

    def rejected(self, claim, rows, codes, msisdn, *, parts=None, closed=False):
        raise AssertionError("every row of the model gives PDUs")

    def close_claims(self, claims):
        self._buffer.append(("close", [claim.claim_id for claim in claims]))

    def receipts(self, batch, acknowledge):
        start, found = 0, []
        for i in range(batch.count):
            found.append((bytes(batch.ids[start : batch.id_end[i]]), batch.verdict[i]))
            start = batch.id_end[i]
        self._buffer.append(("receipts", found, acknowledge))
        self.pending += batch.count

    def commit(self):
        buffer, self._buffer = self._buffer, []
        self.pending = self.pending_outcomes = 0
        for kind, *rest in buffer:
            getattr(self, f"_commit_{kind}")(*rest)

    def _commit_results(self, rows, counted):
        ledger = self.ledger
        fast = [one for one in rows if not one[4] and not self.fenced]
        slow = [one for one in rows if one[4] or self.fenced]
        before = {row: ledger.state(row) for row, *_ in fast}
        for row, part, code, smsc_id, _ in fast:
            self._put(row, part, code, smsc_id)
            ledger.in_time[row, part] = code
        for info, messages, closed in counted:
            if not info.origin_slice_id and not self.fenced:
                ledger.statistics.update(messages)
            ledger.claims[info.claim_id].closed |= closed
        for row, was in before.items():
            now = ledger.state(row)
            if was is State.WAITING and now is not State.WAITING:  # the tally counted it by what came in time
                ledger.statistics[self._tallied(row).value] -= 1
                ledger.statistics[now.value] += 1
        with ledger.reckoned({row for row, *_ in slow}):
            for row, part, code, smsc_id, _ in slow:
                self._put(row, part, code, smsc_id)
        self._match()

    def _tallied(self, row):
        parts = range(1, self.ledger.parts[row] + 1)
        codes = {self.ledger.in_time.get((row, part)) for part in parts}
        if FAILED in codes:
            return State.UNDELIVERED if ACCEPTED in codes else State.FAILED
        return State.IN_DOUBT if DOUBT in codes else State.SENT

    def _put(self, row, part, code, smsc_id):
        ledger = self.ledger
        if code == DOUBT:
            ledger.doubts.add((row, part))
        elif code in (ACCEPTED, FAILED):
            ledger.results.setdefault((row, part), set()).add(code)
        if code == ACCEPTED and smsc_id:
            assert ledger.ids.get(smsc_id, (row, part)) == (row, part), "an id of two parts"
            ledger.ids[smsc_id] = (row, part)

    def _commit_close(self, numbers):
        for number in numbers:
            self.ledger.claims[number].closed = True

    def _commit_receipts(self, found, acknowledge):
        for smsc_id, verdict in found:
            self.ledger.orphans[smsc_id] = max(verdict, self.ledger.orphans.get(smsc_id, 0))
        self._match()
        acknowledge()

    def _match(self):
        ledger = self.ledger
        for smsc_id in [one for one in ledger.orphans if one in ledger.ids]:
            row, part = ledger.ids[smsc_id]
            with ledger.reckoned({row}):
                ledger.verdicts[row, part] = max(
                    ledger.orphans.pop(smsc_id), ledger.verdicts.get((row, part), 0)
                )
