"""Messages in doubt: shown by group, decided by group, sent again part by part.

A message is in doubt until the part in question has a result: the operator's (a late response, a receipt, the
result of a resend) or ours (a decision to count it as sent or as not sent).
"""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import cast
from uuid import UUID

import asyncpg
import msgspec
import structlog

from engine.core_api import schema
from engine.ledger import decisions, fold, holds, reconcile, retries, wallets
from engine.ledger.commit import add_deltas
from engine.ledger.errors import DoubtGone, NotFound, WrongState
from engine.ledger.numbers import numbers
from engine.ledger.pool import Connection, Pool
from engine.ledger.sql import load
from engine.ledger.states import (
    DECREED_NOT_SENT,
    DECREED_SENT,
    FOUND_BY_RECEIPT,
    CampaignState,
    MessageState,
    Outcome,
)

log = structlog.get_logger(__name__)

MOST = 100_000  # doubts of one decision
RESENDS = 3  # by policy; then the doubt is held
LATE_RESPONSE_S = 60.0  # how long the policy waits for a response that did not come in time
AFTER_FAULT_S = 2.0
_SETTLING = timedelta(minutes=10)  # late responses and receipts may still come
_RESENDABLE = frozenset({CampaignState.SENDING, CampaignState.PAUSED, CampaignState.DONE})
_FIELDS = 5  # of a key


@dataclass(frozen=True, slots=True)
class GroupKey:
    """What one fault left on one bind of one campaign. In the API: its fields with `~` between."""

    campaign_id: UUID
    account_id: int  # 0: not known; so is bind 0
    bind_number: int
    reason: str
    event: str

    def __str__(self) -> str:
        fields = (self.campaign_id, self.account_id, self.bind_number, self.reason, self.event)
        return "~".join(map(str, fields))

    @classmethod
    def read(cls, key: str) -> "GroupKey":
        """Raises DoubtGone for a key that this API never gave out."""
        fields = key.split("~", _FIELDS - 1)
        try:
            return cls(UUID(fields[0]), int(fields[1]), int(fields[2]), fields[3], fields[4])
        except (ValueError, IndexError):
            raise DoubtGone(f"{key!r} names no group of doubts") from None


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A part without a result (part 0: a message of which nobody knows the parts)."""

    slice_id: int
    row: int
    part: int
    parts: int
    attempt: int  # the highest so far
    done: frozenset[int]
    msisdn: int | None
    channel_id: int

    @property
    def open_parts(self) -> list[int]:
        if self.part:
            return [self.part]
        return [part for part in range(1, max(self.parts, 1) + 1) if part not in self.done]


async def groups(pool: Pool, campaign_id: UUID | None = None) -> schema.DoubtGroups:
    """What waits for a decision, newest first; of one campaign or of all."""
    queries = load("doubts")
    async with pool.acquire() as connection:
        rows = await connection.fetch(queries["groups"], campaign_id, timeout=60)
        resending = 0
        for row in await connection.fetch(queries["resending_campaigns"], campaign_id):
            resending += await connection.fetchval(queries["resending"], row["campaign_id"])
    found = [_group(row) for row in rows]
    return schema.DoubtGroups(
        groups=found, messages=sum(each.messages for each in found), resending=resending
    )


def _group(row: asyncpg.Record) -> schema.DoubtGroup:
    key = GroupKey(
        row["campaign_id"], row["account_id"] or 0, row["bind_number"] or 0, row["reason"], row["event"]
    )
    resendable = row["campaign_state"] in _RESENDABLE
    actions: list[schema.DoubtAction] = ["count_as_sent", "count_as_not_sent", "leave"]
    if resendable:
        actions.insert(0, "resend")
    age = datetime.now(UTC) - row["last_at"]
    recommended, why = recommend(row["reason"], row["policy"], age, resendable=resendable)
    return schema.DoubtGroup(
        key=str(key),
        campaign_id=row["campaign_id"],
        workspace_id=row["workspace_id"],
        campaign=row["campaign"],
        campaign_state=row["campaign_state"],
        account=row["account"],
        bind_number=key.bind_number,
        worker=row["worker"],
        reason=row["reason"],
        event=row["event"],
        first_at=row["first_at"],
        last_at=row["last_at"],
        messages=row["messages"],
        parts=row["parts"],
        policy=row["policy"],
        left=row["left_alone"],
        actions=actions,
        recommended=recommended,
        why=why,
    )


def recommend(
    reason: str, policy: str, age: timedelta, *, resendable: bool
) -> tuple[schema.DoubtAction, str]:
    """The one action that we would take, and why, in a sentence."""
    if age < _SETTLING:
        return "leave", "Late responses and receipts may still answer these; look again in ten minutes"
    if policy == "await_receipt":
        return "leave", "The campaign waits for receipts, which may come until the horizon"
    if reason == "connection_lost":
        return "count_as_sent", (
            "These were on the wire when the connection broke; most often the operator has taken them, and a "
            "resend would reach people twice"
        )
    if reason == "no_response":
        return "count_as_sent", (
            "The operator got these and kept the connection, but never answered; it has most often taken them"
        )
    if not resendable:
        return "count_as_not_sent", (
            "The engine stopped with these claimed, most of them not written yet, and the campaign has ended"
        )
    return "resend", (
        "The engine stopped with these claimed; all but at most a window a bind were not written yet"
    )


async def resolve(pool: Pool, spec: schema.DoubtResolution, worker_id: int) -> schema.DoubtResolved:
    """Decide about a group, once a decision id. Raises DoubtGone where nothing of it is left to decide,
    WrongState for a resend of a campaign that was cancelled or failed, DecisionReused."""
    key = GroupKey.read(spec.key)

    async def act() -> schema.DoubtResolved:
        campaign = await _lock(connection, key.campaign_id)
        members = await connection.fetch(
            load("doubts")["members"],
            key.campaign_id, True, key.account_id, key.bind_number, key.reason, key.event, MOST,
        )  # fmt: skip
        found = await _in_doubt(connection, members)
        if not found:
            raise DoubtGone("nothing of this group is in doubt any more, or it was decided already")
        state = campaign["state"]
        if spec.action == "resend":
            state = await _resend(connection, campaign, found, worker_id)
        elif spec.action != "leave":
            sent = spec.action == "count_as_sent"
            word = (Outcome.ACCEPTED, DECREED_SENT) if sent else (Outcome.FAILED, DECREED_NOT_SENT)
            await _decree(connection, key.campaign_id, found, worker_id, *word)
        await _decide(connection, found, spec.action)
        return schema.DoubtResolved(
            key=spec.key,
            action=spec.action,
            messages=len({(each.slice_id, each.row) for each in found}),
            parts=len(found),
            campaign_state=state,
        )

    async with pool.acquire() as connection, connection.transaction():
        body = msgspec.json.encode(spec, order="deterministic")
        return await decisions.once(
            connection, spec.decision_id, "resolve-doubts", body, schema.DoubtResolved, act
        )


async def resend_by_policy(pool: Pool, worker_id: int) -> int:
    """Send again what campaigns with the policy `resend` have in doubt; returns how many messages. A part
    that stays in doubt after RESENDS resends is held."""
    queries, messages = load("doubts"), 0
    for row in await pool.fetch(queries["to_resend"], LATE_RESPONSE_S, AFTER_FAULT_S):
        async with pool.acquire() as connection, connection.transaction():
            campaign = await _lock(connection, row["campaign_id"])
            members = await connection.fetch(
                queries["members"], row["campaign_id"], False, 0, 0, "", "", MOST
            )
            found = await _in_doubt(connection, members)
            again = [each for each in found if each.attempt < RESENDS]
            held = [each for each in found if each.attempt >= RESENDS]
            if held:
                await _decide(connection, held, "leave")
            if again and campaign["state"] in _RESENDABLE:
                await _resend(connection, campaign, again, worker_id)
                await _decide(connection, again, "resend")
                messages += len({(each.slice_id, each.row) for each in again})
            answered = await _answered(connection, members)
            await _mark(connection, answered, "answered")
    if messages:
        log.warning("messages in doubt are sent again, as their campaigns want it", messages=messages)
    return messages


async def answer_by_receipts(pool: Pool, worker_id: int) -> int:
    """End doubts of campaigns with the policy `await_receipt` by receipts whose id nobody knows: accepted
    under that id, so that the receipt is matched next. Returns how many messages."""
    queries, answered = load("doubts"), 0
    if not await pool.fetchval(queries["any_awaiting"]):
        return 0
    rows = await pool.fetch(queries["fitting_receipts"], timeout=60)
    for campaign_id in sorted({row["campaign_id"] for row in rows}):
        async with pool.acquire() as connection, connection.transaction():
            await _lock(connection, campaign_id)
            fitting = [row for row in rows if row["campaign_id"] == campaign_id]
            states = await reconcile.states(connection, {(row["slice_id"], row["row_no"]) for row in fitting})
            found = [
                _Doubt(
                    row["slice_id"],
                    row["row_no"],
                    row["part"],
                    1,
                    row["attempt"],
                    frozenset(),
                    row["msisdn"],
                    row["channel_id"],
                )
                for row in fitting
                if states[row["slice_id"], row["row_no"]][1] is MessageState.IN_DOUBT
            ]
            ids = {(row["slice_id"], row["row_no"]): row["smsc_id"] for row in fitting}
            await _decree(connection, campaign_id, found, worker_id, Outcome.ACCEPTED, FOUND_BY_RECEIPT, ids)
            await _decide(connection, found, "answered")
            answered += len(found)
    if answered:
        log.info("messages in doubt were answered by receipts", messages=answered)
    return answered


async def _lock(connection: Connection, campaign_id: UUID) -> asyncpg.Record:
    campaign = await connection.fetchrow(load("doubts")["campaign"], campaign_id)
    if campaign is None:
        raise NotFound(f"no campaign {campaign_id}")
    await reconcile.lock(connection, (), [campaign_id])
    return campaign


async def _in_doubt(connection: Connection, members: Sequence[asyncpg.Record]) -> list[_Doubt]:
    """Of these doubts the parts that have no result, of messages that are in doubt; each part once."""
    keys = {(row["slice_id"], row["row_no"]) for row in members}
    states = await reconcile.states(connection, keys)
    found: dict[tuple[int, int, int], _Doubt] = {}
    for row in members:
        slice_id, number, part = row["slice_id"], row["row_no"], row["part"]
        if states[slice_id, number][1] is not MessageState.IN_DOUBT or part in row["done"]:
            continue
        found[slice_id, number, part] = _Doubt(
            slice_id,
            number,
            part,
            row["parts"],
            row["attempt"],
            frozenset(row["done"]),
            row["msisdn"],
            row["channel_id"],
        )
    return list(found.values())


async def _answered(connection: Connection, members: Sequence[asyncpg.Record]) -> list[tuple[int, int, int]]:
    """(slice, row, part) of these doubts that a result has ended."""
    states = await reconcile.states(connection, {(row["slice_id"], row["row_no"]) for row in members})
    undecided = (MessageState.OPEN, MessageState.IN_DOUBT)
    return [
        (row["slice_id"], row["row_no"], row["part"])
        for row in members
        if row["part"] in row["done"] or states[row["slice_id"], row["row_no"]][1] not in undecided
    ]


async def _resend(
    connection: Connection, campaign: asyncpg.Record, found: Sequence[_Doubt], worker_id: int
) -> str:
    """Retry slices for exactly these parts; returns the campaign's state then."""
    campaign_id, state = campaign["campaign_id"], campaign["state"]
    if state not in _RESENDABLE:
        raise WrongState(f"a campaign in {state} sends nothing again")
    if await connection.fetchval(load("doubts")["recipients_gone"], campaign_id):
        raise WrongState("its recipient file is gone (docs/retention.md): decide as sent or as not sent")
    await _settle_holds(connection, found, worker_id, charge=False)  # its claim reserves anew
    now = datetime.now(UTC)
    gathered: dict[tuple[int, int, int], retries.RetrySlice] = {}
    for each in found:  # over the channel that may have them, never over another
        key = (each.slice_id, each.attempt + 1, each.channel_id)
        into = gathered.get(key)
        if into is None:
            into = gathered[key] = retries.RetrySlice(
                each.slice_id, each.attempt + 1, 0, True, now, each.channel_id, 0, array("i"), array("h")
            )
        into.rows.append(each.row)
        into.parts.append(each.part)
    await retries.write(connection, list(gathered.values()))
    if state == CampaignState.DONE:
        if campaign["settled_at"] is not None:  # what had no receipt waits for one again
            await _unsettle(connection, campaign_id, worker_id)
            await fold.unfold(connection, [campaign_id])
        await connection.execute(load("doubts")["reopen"], campaign_id)
        state = CampaignState.SENDING.value
    return cast(str, state)


async def _settle_holds(
    connection: Connection, found: Sequence[_Doubt], worker_id: int, *, charge: bool
) -> dict[holds.Part, int]:
    """Charge or give back what is held for these parts; returns what each of them (of part 0: each of its
    parts without a result) costs."""
    held = await holds.take(connection, [(each.slice_id, each.row, each.part) for each in found])
    moved: dict[UUID, wallets.Moved] = {}
    costs: dict[holds.Part, int] = {}
    for each in found:
        workspace_id, amount = held.pop((each.slice_id, each.row, each.part), (None, 0))
        if workspace_id is None:
            continue
        of = moved.setdefault(workspace_id, wallets.Moved())
        if charge and each.open_parts:
            of.charge(amount)
        else:
            of.refund(amount)
        share, over = divmod(amount, max(1, len(each.open_parts)))
        for part in each.open_parts:
            key = (each.slice_id, each.row, part)
            costs[key] = costs.get(key, 0) + share + over
            over = 0
    await wallets.book(connection, worker_id, moved)
    return costs


async def _unsettle(connection: Connection, campaign_id: UUID, worker_id: int) -> None:
    counted = await connection.fetchval(load("doubts")["no_receipt"], campaign_id)
    named = await reconcile.campaign_keys(connection, [campaign_id])
    await add_deltas(connection, worker_id, {named[campaign_id]: Counter(no_receipt=-counted)})


async def _decree(
    connection: Connection,
    campaign_id: UUID,
    found: Sequence[_Doubt],
    worker_id: int,
    outcome: Outcome,
    status: int,
    smsc_ids: Mapping[tuple[int, int], str] = MappingProxyType({}),
) -> None:
    """Outcomes that no response gave, and the counts they change."""
    if not found:
        return
    keys = {(each.slice_id, each.row) for each in found}
    before = await reconcile.states(connection, keys)
    unknown: dict[int, list[int]] = {}
    for each in found:
        if each.msisdn is None:
            unknown.setdefault(each.slice_id, []).append(each.row)
    looked_up = {slice_id: await numbers(connection, slice_id, rows) for slice_id, rows in unknown.items()}
    pairs = sorted(
        {(each.slice_id, each.row, part): each for each in found for part in each.open_parts}.items()
    )
    costs = await _settle_holds(connection, found, worker_id, charge=outcome is Outcome.ACCEPTED)
    await connection.execute(
        load("doubts")["decree"],
        [slice_id for (slice_id, _, _), _ in pairs],
        [row for (_, row, _), _ in pairs],
        [part for (_, _, part), _ in pairs],
        [each.attempt + 1 for _, each in pairs],
        [max(each.parts, 1) for _, each in pairs],
        [each.msisdn if each.msisdn is not None else looked_up[each.slice_id][each.row] for _, each in pairs],
        outcome,
        status,
        [smsc_ids.get((slice_id, row)) for (slice_id, row, _), _ in pairs],
        [costs.get(key, 0) for key, _ in pairs],
        [each.channel_id for _, each in pairs],
    )
    after = await reconcile.states(connection, keys)
    await fold.changed(connection, before)
    delta = reconcile.changes(before, after).get(campaign_id, Counter())
    delta["submissions"] += len(pairs)
    if outcome is Outcome.ACCEPTED:
        delta["parts"] += len(pairs)
        delta["charged"] += sum(costs.values())
    named = await reconcile.campaign_keys(connection, [campaign_id])
    await add_deltas(connection, worker_id, {named[campaign_id]: delta})


async def _decide(connection: Connection, found: Sequence[_Doubt], decision: str) -> None:
    await _mark(connection, [(each.slice_id, each.row, each.part) for each in found], decision)


async def _mark(connection: Connection, keys: Sequence[tuple[int, int, int]], decision: str) -> None:
    if keys:
        await connection.execute(
            load("doubts")["decide"],
            [key[0] for key in keys],
            [key[1] for key in keys],
            [key[2] for key in keys],
            decision,
        )
