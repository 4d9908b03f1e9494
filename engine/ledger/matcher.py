"""Receipts to messages in memory: the recent ids, each account's rules, and what its receipts teach."""

from array import array
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import compress, islice
from zoneinfo import ZoneInfo

import msgspec
import structlog

from engine._fast import receipts as fast_receipts
from engine._fast import recent as fast_recent
from engine._fast.columns import KIND_INTERMEDIATE, MatchBatch, ReceiptBatch, ResultBatch
from engine.ledger.matching import (
    BASES,
    Learned,
    LearnedZone,
    Learning,
    MatchedBy,
    ReceiptRules,
    learn,
    rules_of,
)
from engine.ledger.pool import Connection
from engine.ledger.sql import load
from engine.smpp import dates

log = structlog.get_logger(__name__)

ACCEPTD = 6
SAMPLES = 101  # submit dates whose median proposes the zone
_SAMPLES_A_BATCH = 4
_DEFAULT = ReceiptRules()


class Matcher:
    """`capacity`: of the recent ids."""

    def __init__(self, capacity: int) -> None:
        self.recent = fast_recent.RecentIds(capacity)
        self._rules: dict[int, ReceiptRules] = {}
        self._learning: dict[int, Learning] = {}
        self._samples: dict[int, deque[int]] = {}
        self._sampled: set[int] = set()

    def rules(self, account_id: int) -> ReceiptRules:
        return self._rules.get(account_id, _DEFAULT)

    @property
    def longest_horizon_s(self) -> int:
        """Of any account that sets one."""
        return max((rules.receipt_horizon_s for rules in self._rules.values()), default=0)

    def put(
        self, results: ResultBatch, outcome: "array[int]", account_id: int, campaigns: Mapping[int, int]
    ) -> int:
        """See `RecentIds.put`."""
        base, _ = self.rules(account_id).bases.radixes
        return self.recent.put(results, outcome, account_id, campaigns, base)

    def read(self, receipts: ReceiptBatch, account_id: int) -> ReceiptBatch:
        """The batch with its verdicts as the account's rules have them."""
        if self.rules(account_id).accepted_is_final and ACCEPTD in receipts.stat:
            for i, stat in enumerate(receipts.stat):
                if stat == ACCEPTD and receipts.kind[i] != KIND_INTERMEDIATE:
                    receipts.verdict[i] = 2
        return receipts

    def match(self, receipts: ReceiptBatch, account_id: int, received_us: int) -> MatchBatch:
        """Whose receipts these are, and when each was done."""
        rules = self.rules(account_id)
        _, base = rules.bases.radixes
        matched = self.recent.match(receipts, account_id, base)
        found = matched.found.tobytes()
        matched.done_us = done_us(receipts, matched.sent_s, received_us, rules.receipt_tz)
        if 1 in found:
            self._sample(receipts, matched, found, account_id)
            if rules.learning:
                self.note(account_id, MatchedBy.EXACT, found.count(1))
        return matched

    def by_number(self, account_id: int) -> MatchedBy:
        """How those were found that `match` found by their id's number."""
        receipt = self.rules(account_id).bases.receipt
        return MatchedBy.HEX_TO_DEC if receipt == "hex" else MatchedBy.DEC_TO_HEX

    def mark(self, receipts: ReceiptBatch, account_id: int) -> None:
        """Tell the recent ids verdicts that are counted elsewhere: a repeat must not count as the first."""
        _, base = self.rules(account_id).bases.radixes
        self.recent.match(receipts, account_id, base)

    # learning -----------------------------------------------------------------------------------------------

    def note(self, account_id: int, by: MatchedBy, count: int = 1) -> None:
        """An unambiguous match."""
        if by in BASES and self.rules(account_id).learning:
            self._learning.setdefault(account_id, Learning()).note(by, count)

    def sample(self, account_id: int, submitted_s: int, sent_s: int) -> None:
        """A receipt's submit date and our submit time."""
        self._samples.setdefault(account_id, deque(maxlen=SAMPLES)).append(submitted_s - sent_s)
        self._sampled.add(account_id)

    def _sample(self, receipts: ReceiptBatch, matched: MatchBatch, found: bytes, account_id: int) -> None:
        for i in islice(compress(range(len(found)), found), _SAMPLES_A_BATCH):
            if receipts.submit_s[i] >= 0 and matched.sent_s[i]:
                self.sample(account_id, receipts.submit_s[i], matched.sent_s[i])

    async def refresh(self, connection: Connection) -> None:
        """Read the accounts' rules anew, and store what was learned since."""
        for account_id in {*self._learning, *self._sampled}:
            await self._store(connection, account_id)
        rules = {}
        for row in await connection.fetch(load("receipts")["rules"]):
            try:
                rules[row["account_id"]] = rules_of(row["settings"], row["learned"])
            except msgspec.MsgspecError as error:
                log.error("receipt settings are wrong", account_id=row["account_id"], reason=str(error))
                rules[row["account_id"]] = self.rules(row["account_id"])
        self._rules = rules

    async def _store(self, connection: Connection, account_id: int) -> None:
        """Add to `accounts.learned` what this worker saw; others add theirs."""
        queries, now = load("receipts"), datetime.now(UTC)
        async with connection.transaction():
            stored = await connection.fetchval(queries["learned_for_update"], account_id)
            if stored is None:
                return
            known = msgspec.json.decode(stored, type=Learned)
            learning = self._learning.get(account_id, Learning())
            ids = learn(known.ids, learning.evidence, now)
            changed = Learned(ids=ids, receipt_tz=self._zone(known.receipt_tz, account_id, now))
            if changed != known:
                text = msgspec.json.encode(changed).decode()
                await connection.execute(queries["store_learned"], account_id, text)
        if ids.locked and not known.ids.locked:
            log.info("bases of message ids learned", account_id=account_id, response=ids.response,
                     receipt=ids.receipt)  # fmt: skip
        self._learning.pop(account_id, None)
        self._sampled.discard(account_id)

    def _zone(self, known: LearnedZone | None, account_id: int, now: datetime) -> LearnedZone | None:
        samples = self._samples.get(account_id, ())
        proposed = dates.proposed_offset_s(samples)
        if proposed is None:
            return known
        if known and known.offset_s == proposed[0] and known.samples >= len(samples):
            return known
        return LearnedZone(offset_s=proposed[0], median_s=proposed[1], samples=len(samples), at=now)


def done_us(receipts: ReceiptBatch, sent_s: "array[int]", received_us: int, receipt_tz: str) -> "array[int]":
    """When each was done: its converted done date if it lies between submit and arrival, else arrival."""
    where = dates.zone(receipt_tz)
    known = [second for second in receipts.done_s if second >= 0] if isinstance(where, ZoneInfo) else []
    at = {min(known), max(known)} if known else {received_us // 1_000_000}
    offsets = {dates.offset_s(where, local_s) for local_s in at}
    if len(offsets) == 1:
        return _delivered_at(receipts, sent_s, received_us, offsets.pop())
    # a clock change lies between them: each by its own offset
    mine = [dates.offset_s(where, second) for second in receipts.done_s]
    by_offset = {each: _delivered_at(receipts, sent_s, received_us, each) for each in set(mine)}
    return array("q", [by_offset[each][i] for i, each in enumerate(mine)])


def _delivered_at(
    receipts: ReceiptBatch, sent_s: "array[int]", received_us: int, offset_s: int
) -> "array[int]":
    return fast_receipts.delivered_at(
        receipts.done_s, receipts.done_raw, receipts.done_raw_end, sent_s, received_us, offset_s
    )
