"""The verdict on a lab: the SMSC's witness against the ledger, and the ledger against itself."""

import asyncio
from dataclasses import asdict, dataclass, field
from typing import Any

import asyncpg

from bench.chaos.lab import LEDGER, POLL_S, Lab, Sent
from bench.simulators.smsc import witness as witness_file
from bench.simulators.smsc.dialects import ID_FORMATS
from engine.core_api import schema
from engine.ledger.errors import VerifyBusy
from engine.ledger.pool import Pool, open_pool
from engine.ledger.states import Outcome
from engine.ledger.verify import verify

BUSY_S = 30.0  # how long the verification waits for another one to end


@dataclass
class Verdict:
    """Messages, unless a name says parts. `differences` say in words what is not as promised.

    lost: accepted by us; neither at the SMSC, nor in the ledger as in doubt, failed, cancelled or waiting.
    unseen: at the SMSC, and the ledger says that it was never sent. duplicates: parts the SMSC accepted more
    than once. duplicate_bound: how many crashes and lost sessions may cost under the campaigns' policies.
    receipts_lost: acknowledged to the SMSC and not in the ledger. smsc_delivered, smsc_undelivered: what the
    acknowledged receipts say.
    """

    accepted: int = 0
    submissions: int = 0
    witness_parts: int = 0
    lost: int = 0
    unseen: int = 0
    duplicates: int = 0
    duplicate_bound: int = 0
    in_doubt: int = 0
    waiting: int = 0
    failed: int = 0
    delivered: int = 0
    undelivered: int = 0
    smsc_delivered: int = 0
    smsc_undelivered: int = 0
    receipts: int = 0
    receipts_lost: int = 0
    balanced: bool = True
    differences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"holds": self.holds}


async def judge(lab: Lab, *, duplicate_bound: int = 0) -> Verdict:
    """Ask when everything is at rest. `duplicate_bound` is for all campaigns together."""
    verdict = Verdict(duplicate_bound=duplicate_bound)
    pool = await open_pool(lab.database.dsn(LEDGER))
    try:
        async with pool.acquire() as connection:
            for sent in lab.campaigns:
                await _campaign(lab, sent, connection, verdict)
            await _receipts(lab, connection, verdict)
        books = await _books(pool)
    finally:
        await pool.close()
    verdict.balanced = books.holds
    if books.first is not None:
        first = books.first
        verdict.differences.append(
            f"the books do not balance: {first.check} {first.table} {first.key}: {first.found}, "
            f"expected {first.expected}"
        )
    programs = [*lab.engines, *([lab.control_plane] if lab.control_plane else [])]
    for process in programs:
        for words in process.faults:
            verdict.differences.append(f"{process.module} died by itself: {words}")
    if verdict.duplicates > verdict.duplicate_bound:
        verdict.differences.append(f"{verdict.duplicates} duplicates, the bound is {verdict.duplicate_bound}")
    return verdict


async def _books(pool: Pool) -> schema.Verification:
    """The engine's own daily verification or round may be under way."""
    deadline = asyncio.get_running_loop().time() + BUSY_S
    while True:
        try:
            return await verify(pool)
        except VerifyBusy:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(POLL_S)


async def _campaign(lab: Lab, sent: Sent, connection: Any, verdict: Verdict) -> None:
    """The witness knows a campaign by its sender, a message by its number."""
    seen: dict[int, int] = {}
    parts: dict[tuple[int, int], int] = {}
    for record in witness_file.records(lab.witness):
        if record.source == sent.sender:
            number = int(record.destination)
            seen[number] = seen.get(number, 0) + 1
            parts[number, record.part] = parts.get((number, record.part), 0) + 1
    booked = {
        row["msisdn"]
        for row in await connection.fetch(
            """SELECT DISTINCT s.msisdn FROM submissions s JOIN slices l USING (slice_id)
               WHERE l.campaign_id = $1 AND s.outcome = $2""",
            sent.campaign_id,
            Outcome.ACCEPTED,
        )
    }
    counts = (await lab.status(sent)).counts
    accepted = len(sent.numbers)
    phantoms = booked - seen.keys()  # we say it went out; the SMSC never had it
    unsent = accepted - len(seen.keys() | booked)
    elsewhere = counts.failed + counts.blocked + counts.expired + counts.cancelled + counts.in_doubt
    missing = max(0, unsent - elsewhere - (counts.waiting - counts.in_flight))
    unknown = max(0, len(seen.keys() - booked) - counts.in_doubt)
    verdict.accepted += accepted
    verdict.submissions += counts.submissions
    verdict.witness_parts += sum(parts.values())
    verdict.duplicates += sum(parts.values()) - len(parts)
    verdict.in_doubt += counts.in_doubt
    verdict.waiting += counts.waiting
    verdict.failed += counts.failed
    verdict.delivered += counts.delivered
    verdict.undelivered += counts.undelivered
    verdict.lost += len(phantoms) + missing
    verdict.unseen += unknown
    if phantoms:
        verdict.differences.append(f"{sent.sender}: {len(phantoms)} booked as sent that the SMSC never had")
    if missing:
        verdict.differences.append(f"{sent.sender}: {missing} lost: neither sent nor accounted for")
    if unknown:
        verdict.differences.append(f"{sent.sender}: {unknown} sent that the ledger knows nothing of")
    if set(seen) - set(sent.numbers):
        verdict.differences.append(f"{sent.sender}: sent to numbers that nobody gave us")
    if counts.accepted != accepted:
        verdict.differences.append(f"{sent.sender}: {counts.accepted} accepted of {accepted}")


async def _receipts(lab: Lab, connection: Any, verdict: Verdict) -> None:
    """What the SMSC has our acknowledgement of must be in the ledger, matched or not."""
    plan = lab.settings.behaviour.plan()
    form = ID_FORMATS[lab.settings.behaviour.receipt_id_format or lab.settings.behaviour.id_format]
    known = {
        row["smsc_id"]
        for row in await connection.fetch(
            """SELECT coalesce(r.smsc_id, s.smsc_id) AS smsc_id
               FROM receipts r LEFT JOIN submissions s USING (slice_id, row_no, part)
               UNION SELECT smsc_id FROM orphan_receipts"""
        )
    }
    delivered = len(plan.verdict_limits)
    final = [record for record in witness_file.acknowledged(lab.receipts) if record.verdict <= delivered]
    best: dict[tuple[int, int, int], bool] = {}
    for place, record in enumerate(final):
        # where ids come again each receipt is of another message, else those of one id are of one
        key = (record.account, record.number, place if plan.id_reuse else 0)
        best[key] = best.get(key, False) or record.verdict == delivered
    verdict.receipts = len(best)
    verdict.smsc_delivered = sum(best.values())
    verdict.smsc_undelivered = len(best) - verdict.smsc_delivered
    missing = sum(form.text(number).decode() not in known for number in {record.number for record in final})
    verdict.receipts_lost = missing
    if missing:
        verdict.differences.append(f"{missing} receipts acknowledged that the ledger does not have")


async def scalar(dsn: str, query: str, *arguments: Any) -> Any:
    """One value, asked past the engine."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()
