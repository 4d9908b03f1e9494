"""Counting what the fast path cannot: states of messages before and after a change, reckoned by SQL from
their rows.

Multi-part receipts, corrections, late results, receipts found by SQL, doubts after a crash, a retried commit.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias
from uuid import UUID

from engine.ledger.batch import MessageKey
from engine.ledger.claims import CampaignKey
from engine.ledger.pool import Connection
from engine.ledger.sql import load
from engine.ledger.states import MessageState

States: TypeAlias = dict[MessageKey, tuple[UUID, MessageState]]
Deltas: TypeAlias = dict[UUID, Counter[str]]

_COUNTER = {
    MessageState.DELIVERED: "delivered",
    MessageState.UNDELIVERED: "undelivered",
    MessageState.NO_RECEIPT: "no_receipt",
    MessageState.FAILED: "failed",
    MessageState.IN_DOUBT: "in_doubt",
}


async def states(
    connection: Connection, keys: Collection[MessageKey], as_tallied: Collection[MessageKey] = ()
) -> States:
    """States of messages as the caller's transaction sees their rows.

    Those in `as_tallied` as their claim's tally counted them: by results that came in time, without receipts.
    """
    if not keys:
        return {}
    ordered = list(keys)
    rows = await connection.fetch(
        load("commit")["states"],
        [key[0] for key in ordered],
        [key[1] for key in ordered],
        [key in as_tallied for key in ordered],
    )
    return {
        (row["slice_id"], row["row_no"]): (row["campaign_id"], MessageState(row["state"])) for row in rows
    }


def changes(before: States, after: States) -> Deltas:
    """What the counters of `campaign_stats` gain and lose, by campaign."""
    deltas: Deltas = {}
    for key, (campaign_id, now) in after.items():
        was = before[key][1]
        if was is now:
            continue
        counter = deltas.setdefault(campaign_id, Counter())
        for state, sign in ((was, -1), (now, 1)):
            if state in _COUNTER:
                counter[_COUNTER[state]] += sign
            if state.accepted_by_operator:
                counter["sent"] += sign
    return deltas


async def campaign_keys(connection: Connection, campaign_ids: Iterable[UUID]) -> Mapping[UUID, CampaignKey]:
    rows = await connection.fetch(load("commit")["keys"], list(campaign_ids))
    return {
        row["campaign_id"]: CampaignKey(
            row["campaign_id"], row["workspace_id"], row["channel_id"], row["sender"]
        )
        for row in rows
    }


async def lock(connection: Connection, shared: Collection[UUID], alone: Collection[UUID]) -> None:
    """Keep others from counting the same messages at once, to the end of the transaction."""
    campaigns = {**dict.fromkeys(shared, False), **dict.fromkeys(alone, True)}
    if campaigns:
        await connection.execute(load("commit")["lock_campaigns"], list(campaigns), list(campaigns.values()))
