"""What `verify` checks, each in the caller's snapshot: a misfit names the table, the row's key, what was
expected there and what was found."""

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec

from engine.core_api import schema
from engine.ledger import equation, money_checks, retention
from engine.ledger.partitions import EPOCH, day_of
from engine.ledger.pool import Connection
from engine.ledger.sql import load
from engine.ledger.states import ENDED_EARLY, CampaignState

MAX_MISFITS = 100
TAKEOVER_S = 120.0  # longer than a lease with its margin and a living worker's next look
_TERMS = ("sent", "failed", "in_doubt")


@dataclass(slots=True)
class Found:
    """What was looked at, and what does not fit: the first hundred rows."""

    misfits: list[schema.Misfit] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)
    days: dict[int, Counter[str]] = field(default_factory=dict)

    def misfit(self, check: str, table: str, key: str, expected: object, found: object) -> None:
        if len(self.misfits) < MAX_MISFITS:
            self.misfits.append(
                schema.Misfit(check=check, table=table, key=key, expected=str(expected), found=str(found))
            )

    def verdict(
        self, trigger: schema.VerifyTrigger, started_at: datetime, version: int
    ) -> schema.Verification:
        return schema.Verification(
            run_id=0,
            trigger=trigger,
            started_at=started_at,
            took_s=round((datetime.now(UTC) - started_at).total_seconds(), 3),
            schema_version=version,
            campaigns=self.count["campaigns"],
            slices=self.count["slices"],
            messages=self.count["messages"],
            submissions=self.count["submissions"],
            receipts=self.count["receipts"],
            holds=not self.misfits,
            first=self.misfits[0] if self.misfits else None,
            misfits=self.misfits,
            days=[
                schema.DayCounts(
                    day=EPOCH + timedelta(days=day),
                    planned=counted["planned"],
                    **{name: counted[name] for name in _TERMS},
                    cancelled=counted["cancelled"],
                    waiting=counted["planned"] - sum(counted[name] for name in (*_TERMS, "cancelled")),
                )
                for day, counted in sorted(self.days.items())
            ],
        )


async def campaign(connection: Connection, campaign_id: UUID, found: Found) -> None:
    queries = load("verify")
    campaign = await connection.fetchrow(queries["campaign"], campaign_id)
    assert campaign is not None
    name = f"campaign_id={campaign_id}"
    found.count["campaigns"] += 1
    if campaign["unsealed"]:
        found.misfit("manifest", "manifests", name, "the sealed manifest", "another content, or none")
    for row in await connection.fetch(queries["chunks"], campaign_id, timeout=600):
        key = f"upload_id={row['upload_id']} chunk_no={row['chunk_no']}"
        found.misfit("chunk", "recipient_chunks", key, f"sha256 {row['expected']}", row["found"])
    if campaign["sliced"] != campaign["position"]:
        found.misfit("planned", "legs", name, f"{campaign['position']} rows in slices", campaign["sliced"])
    for row in await connection.fetch(queries["slice_overlaps"], campaign_id):
        key = f"slice_id={row['slice_id']}"
        expected = f"chunk {row['chunk_no']} from row {row['previous_end']} on"
        found.misfit("slice_overlap", "slices", key, expected, f"row {row['row_start']}")
    for row in await connection.fetch(queries["ill_planned"], campaign_id):
        key = f"{name} chunk_no={row['chunk_no']}"
        found.misfit("leg_rows", "chunk_plans", key, f"{row['row_count']} rows by leg", row["found"])
    for row in await connection.fetch(queries["beyond_chunk"], campaign_id):
        key = f"slice_id={row['slice_id']}"
        expected = f"chunk {row['chunk_no']} ends at row {row['row_count']}"
        found.misfit("slice_beyond_chunk", "slices", key, expected, row["row_end"])
    for row in await connection.fetch(queries["stray_retries"], campaign_id):
        key = f"slice_id={row['slice_id']}"
        expected = "an origin that is a slice of the same campaign"
        found.misfit("retry_origin", "slices", key, expected, f"origin_slice_id={row['origin_slice_id']}")
    for row in await connection.fetch(queries["evidence_of_retries"], campaign_id):
        key = f"slice_id={row['slice_id']}"
        found.misfit("retry_evidence", row["kind"], key, "its origin's slice and row", "the retry slice's")
    counted = equation.Recount()
    async for page in equation.pages(connection, campaign_id):
        counted.add(page)
        await _page(connection, page, campaign, found)
    await money_checks.costs(connection, campaign_id, campaign, found.misfit)
    for seal in await connection.fetch(load("retention")["seals_of"], campaign_id):
        _sealed(seal, campaign, found)
    balance = await equation.balance(connection, campaign_id, counted)
    _statistics(balance, name, found)
    await _ends(connection, campaign, balance.counted, campaign_id, found)
    series = await connection.fetchrow(queries["series"], campaign_id)
    assert series is not None
    stats = balance.statistics
    sent = stats.in_flight + stats.delivered + stats.undelivered + stats.no_receipt
    for term, of_stats in (
        ("sent", sent),
        ("delivered", stats.delivered),
        ("failed", stats.failed + stats.undelivered),
    ):
        if series[term] != of_stats:
            found.misfit("series", "campaign_series", name, f"{term} {of_stats} by statistics", series[term])


def _statistics(balance: schema.Equation, name: str, found: Found) -> None:
    for term, of_rows in msgspec.structs.asdict(balance.counted).items():
        of_statistics = getattr(balance.statistics, term)
        if of_rows != of_statistics:
            found.misfit("statistics", "campaign_stats", name, f"{term} {of_rows} by rows", of_statistics)
    if balance.first_difference and not found.misfits:  # what the recount alone looks at
        found.misfit("equation", "campaigns", name, "a balance", balance.first_difference)


async def _ends(
    connection: Connection,
    campaign: asyncpg.Record,
    counted: schema.Counts,
    campaign_id: UUID,
    found: Found,
) -> None:
    """At a campaign's end nothing waits but what is in flight; once settled, nothing at all."""
    name = f"campaign_id={campaign_id}"
    if campaign["state"] == CampaignState.DONE and counted.waiting != counted.in_flight:
        found.misfit("done", "campaigns", name, "nothing unsent", counted.waiting - counted.in_flight)
    if campaign["settled"]:
        if counted.waiting:
            found.misfit("settled", "campaigns", name, "waiting 0", counted.waiting)
        for row in await connection.fetch(load("verify")["unclosed"], campaign_id):
            key = f"slice_id={row['slice_id']}"
            found.misfit("settled", "slices", key, "closed, with closed claims", row["state"])


async def _page(connection: Connection, page: equation.Page, campaign: asyncpg.Record, found: Found) -> None:
    queries = load("verify")
    ids = [row["slice_id"] for row in page.slices]
    found.count.update(
        slices=len(ids), submissions=page.evidence["submissions"], receipts=page.evidence["receipts"]
    )
    claims = {row["slice_id"]: row for row in await connection.fetch(queries["claims"], ids)}
    retries: dict[int, list[asyncpg.Record]] = {}
    for row in await connection.fetch(queries["retries_of"], ids):
        retries.setdefault(row["origin_slice_id"], []).append(row)
        _retry(row, found)
    for row in await connection.fetch(queries["accepted_twice"], ids, timeout=600):
        key = f"slice_id={row['slice_id']} row_no={row['row_no']} part={row['part']}"
        found.misfit(
            "accepted_twice", "submissions", key, "accepted once, or in doubt", f"{row['times']} times"
        )
    for one in page.slices:
        claim = claims.get(one["slice_id"])
        await _claims(connection, one, claim, found)
        if one["origin_slice_id"] is None:
            messages = page.messages[one["slice_id"]]
            _count_day(one, messages, campaign, found)
            if messages["outside"]:
                await _outside(connection, one, found)
            await _complete(connection, one, messages, retries.get(one["slice_id"], []), found)


def _count_day(one: asyncpg.Record, messages: asyncpg.Record, campaign: asyncpg.Record, found: Found) -> None:
    found.count["messages"] += one["row_count"]
    day = found.days.setdefault(day_of(one["slice_id"]), Counter())
    day.update(planned=one["row_count"], **{term: messages[term] for term in _TERMS})
    if campaign["state"] == CampaignState.CANCELLED and one["state"] != "open":
        day["cancelled"] += one["row_count"] - one["claimed_to"]


def _sealed(seal: asyncpg.Record, campaign: asyncpg.Record, found: Found) -> None:
    """A dropped partition counts as it was sealed."""
    found.count.update(messages=seal["planned"], submissions=seal["submissions"], receipts=seal["receipts"])
    day = found.days.setdefault(seal["day"], Counter())
    day.update(planned=seal["planned"], **{term: seal[term] for term in _TERMS})
    if campaign["state"] in ENDED_EARLY:
        day["cancelled"] += seal["planned"] - seal["claimed"]


async def _claims(
    connection: Connection,
    one: asyncpg.Record,
    claim: asyncpg.Record | None,
    found: Found,
) -> None:
    """Claims lie side by side on [0, claimed_to): nothing was sent twice or outside of one. A gap is of rows
    that were given back behind another worker's claim: a retry slice of the same attempt has them."""
    key = f"slice_id={one['slice_id']}"
    claimed, end = (claim["claimed"], claim["row_end"]) if claim is not None else (0, 0)
    if claim is not None and claim["overlapping"] is not None:
        found.misfit(
            "claim_overlap", "claims", f"claim_id={claim['overlapping']}", "rows nobody claimed", key
        )
    elif claimed != one["claimed_to"] or (claimed and end != claimed):
        if end <= one["claimed_to"] and await _elsewhere(connection, one):
            return
        found.misfit("claimed", "slices", key, f"claimed_to {claimed} by claims", one["claimed_to"])
    if one["state"] == "done" and one["claimed_to"] < one["row_count"]:
        found.misfit("claimed", "slices", key, f"done at row {one['row_count']}", one["claimed_to"])


async def _elsewhere(connection: Connection, one: asyncpg.Record) -> bool:
    """Whether the rows that no claim of a slice holds are all in retry slices of the same attempt."""
    queries, slice_id = load("verify"), one["slice_id"]
    gaps = [row["row_no"] for row in await connection.fetch(queries["gaps"], slice_id, one["claimed_to"])]
    kin = await connection.fetch(queries["kin"], slice_id)
    own = next(each for each in kin if each["slice_id"] == slice_id)
    if own["explicit_rows"] is not None:
        rows = _int32(own["explicit_rows"])
        gaps = [rows[row] for row in gaps]
    others = [each for each in kin if each["slice_id"] != slice_id and each["attempt"] == own["attempt"]]
    again = {row for each in others for row in _int32(each["explicit_rows"])}
    return again.issuperset(gaps)


def _retry(retry: asyncpg.Record, found: Found) -> None:
    key = f"slice_id={retry['slice_id']}"
    rows = _int32(retry["explicit_rows"])
    parts = array("h", bytes(retry["explicit_parts"] or bytes(2 * len(rows))))
    if len(rows) != retry["row_count"] or len(parts) != len(rows):
        found.misfit("retry_rows", "slices", key, f"{retry['row_count']} explicit rows", len(rows))
    if len(set(zip(rows, parts, strict=False))) != len(rows):
        found.misfit("retry_rows", "slices", key, "each part of a row once", "one twice")
    stray = [row for row in rows if not 0 <= row < (retry["origin_claimed_to"] or 0)]
    if stray:
        found.misfit("retry_rows", "slices", key, "claimed rows of its origin", f"row {min(stray)}")


def _int32(data: bytes | None) -> "array[int]":
    data = bytes(data or b"")
    return array("i", data[: len(data) // 4 * 4])


async def _outside(connection: Connection, one: asyncpg.Record, found: Found) -> None:
    row = await connection.fetchrow(load("verify")["outside"], one["slice_id"], one["claimed_to"])
    if row is not None:
        key = f"slice_id={one['slice_id']} row_no={row['row_no']} part={row['part']} attempt={row['attempt']}"
        found.misfit("outside_claim", row["kind"], key, f"a row below {one['claimed_to']}", row["row_no"])


async def _complete(
    connection: Connection,
    one: asyncpg.Record,
    messages: asyncpg.Record,
    retries: Iterable[asyncpg.Record],
    found: Found,
) -> None:
    """Each row of a closed claim has a result, is in doubt, or waits in a retry slice."""
    complete = sum(messages[term] for term in _TERMS)
    if complete == one["claimed_to"] or messages["outside"]:
        return
    waiting = {row for retry in retries if retry["state"] != "done" for row in _int32(retry["explicit_rows"])}
    rows = await connection.fetch(
        load("verify")["open_rows"], one["slice_id"], one["claimed_to"], timeout=600
    )
    lost = [row["row_no"] for row in rows if row["row_no"] not in waiting]
    if lost:
        key = f"slice_id={one['slice_id']} row_no={lost[0]}"
        expected = "a result, a doubt or a retry: its claim is closed"
        found.misfit("no_result", "submissions", key, expected, f"none ({len(lost)} such rows in the slice)")


async def owners(connection: Connection, campaign_id: UUID | None, found: Found) -> None:
    for row in await connection.fetch(load("verify")["ownerless"], campaign_id, TAKEOVER_S):
        key = f"claim_id={row['claim_id']} slice_id={row['slice_id']}"
        state = "stopped" if row["stopped"] else f"without a lease since {row['lease_until']}"
        found.misfit("claim_owner", "claims", key, "a living worker", f"worker {row['worker_id']}, {state}")


async def whole_ledger(connection: Connection, found: Found) -> None:
    queries = load("verify")
    await money_checks.wallets(connection, found.misfit)
    broken = await retention.broken_seal(connection)
    if broken is not None:
        key = f"day={broken['day']} partition_no={broken['partition_no']} campaign_id={broken['campaign_id']}"
        found.misfit("seal", "partition_seals", key, "the hash over it and the seal before", "another")
    for row in await connection.fetch(queries["hourly"], timeout=600):
        key = f"workspace_id={row['workspace_id']} sender={row['sender']!r}"
        for term in ("sent", "delivered", "failed", "parts"):
            if row[term] != row[f"hourly_{term}"]:
                of_hours = row[f"hourly_{term}"]
                found.misfit("hourly", "hourly_stats", key, f"{term} {row[term]} by campaigns", of_hours)
    for table in ("submissions", "doubts", "receipts"):
        for row in await connection.fetch(queries[f"sliceless_{table}"], timeout=600):
            found.misfit("no_slice", table, f"slice_id={row['slice_id']}", "a slice", "none")
