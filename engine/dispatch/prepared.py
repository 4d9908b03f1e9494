"""A claim's PDUs, encoded before the claim is committed: what it costs is known by then. Sequence numbers of
a claim that is lost are skipped."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import compress

from engine._fast import pdu
from engine._fast.columns import REJECT_CHANGED, REJECT_NO_RATE, EncodedBatch
from engine.dispatch.campaign import Again, Chunk, OpenSlice
from engine.dispatch.claims import Claim, Order
from engine.dispatch.pricing import Price, Pricing, price
from engine.dispatch.sender import Sender
from engine.ledger.claims import ClaimInfo
from engine.ledger.pool import Pool
from engine.ledger.sql import load


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of a message that goes again."""

    parts: int = 0  # 0: nobody knows
    done: frozenset[int] = frozenset()  # parts with a final result


Results = Mapping[int, Known]  # by the origin's row


@dataclass(slots=True)
class Prepared:
    """An order with its PDUs; `wire` and `done` as in `Claim`."""

    sender: Sender
    order: Order
    batch: EncodedBatch
    rejected_msisdn: array[int]
    wire: EncodedBatch | None = None
    done: array[int] = field(default_factory=lambda: array("i"))
    price: Price | None = None  # None: it costs nothing

    def claim(self, claim_id: int, handle: int, account_id: int) -> Claim:
        """The claim it became, once that is committed."""
        each, run = self.order.slice, self.order.slice.run
        again = each.again
        return Claim(
            handle=handle,
            info=ClaimInfo(
                claim_id=claim_id,
                slice_id=each.slice_id,
                campaign_id=run.campaign_id,
                workspace_id=run.key.workspace_id,
                channel_id=run.key.channel_id,
                sender=run.key.sender,
                campaign_handle=run.handle,
                account_id=account_id,
                origin_slice_id=again.origin_slice_id if again else 0,
                attempt=again.attempt if again else 0,
                resend=again.resend if again else False,
                costs=self.price.costs if self.price else None,
            ),
            slice=each,
            row_start=each.claimed_to - self.order.count,
            row_end=each.claimed_to,
            batch=self.batch,
            rejected_msisdn=self.rejected_msisdn,
            wire=self.wire,
            done=self.done,
        )


def prepare(sender: Sender, order: Order, chunk: Chunk, results: Results) -> Prepared:
    """Encode the order's rows, and reckon what they cost. Raises ValueError or IndexError for a text that
    cannot be encoded, TooDear for a message that cannot be paid."""
    each = order.slice
    start, stop = each.claimed_to, each.claimed_to + order.count
    if each.again:
        rows = chunk.rows(each.place(row) for row in range(start, stop))
    else:
        rows = chunk.span(each.row_start + start, each.row_start + stop)
    ids = each.again.rows[start:stop] if each.again else None

    def encode(first_sequence: int) -> EncodedBatch:
        return each.run.encoder.encode(
            chunk.msisdn, chunk.columns, rows, start, each.message_slice, first_sequence, ids
        )

    batch = sender.encode(encode)
    pricing = each.run.pricing
    if pricing is not None and pricing.unrated(batch.msisdn):
        batch = _keep_rated(sender, batch, pricing)
    prepared = Prepared(sender, order, batch, array("q"))
    if each.again:
        _keep_wanted(prepared, each, each.again, results, range(start, stop))
    if pricing is not None:
        prepared.price = price(pricing, prepared.batch, start, order.count)
    numbers = [chunk.number(each.place(row)) for row in prepared.batch.rejected]
    prepared.rejected_msisdn = array("q", numbers)
    return prepared


def _keep_rated(sender: Sender, batch: EncodedBatch, pricing: Pricing) -> EncodedBatch:
    """Without the rows whose number has no rate: they are rejected."""
    rated = pricing.rated(batch.msisdn)
    indices = array("i", compress(range(batch.count), rated))
    unrated = dict.fromkeys(row for row, has in zip(batch.row, rated, strict=True) if not has)
    kept = sender.encode(lambda first: pdu.take(batch, indices, first))
    kept.rejected = batch.rejected + array("i", unrated)
    kept.reject_code = batch.reject_code + array("b", [REJECT_NO_RATE]) * len(unrated)
    return kept


def _keep_wanted(
    prepared: Prepared, each: OpenSlice, again: Again, results: Results, positions: range
) -> None:
    """Of a retry slice's messages only the parts that are wanted and have no result go out."""
    batch = prepared.batch
    split = {batch.row[i]: batch.parts[i] for i in range(batch.count)}
    changed: set[int] = set()
    for row in positions:
        known = results.get(again.rows[row], Known())
        if row in split and known.parts and known.parts != split[row] and again.parts[row]:
            changed.add(row)
    indices = array("i")
    sent: set[int] = set()
    for i in range(batch.count):
        row, part = batch.row[i], batch.part[i]
        wanted = again.parts[row]
        if row in changed or (wanted and part != wanted):
            continue
        if part in results.get(again.rows[row], Known()).done:
            continue
        indices.append(i)
        sent.add(row)
    rejected = set(batch.rejected)
    kept = prepared.sender.encode(lambda first: pdu.take(batch, indices, first))
    kept.rejected, kept.reject_code = batch.rejected[:], batch.reject_code[:]
    for row in positions:
        known = results.get(again.rows[row], Known())
        has_result = again.parts[row] in known.done if again.parts[row] else False
        if row in changed and not has_result:
            kept.rejected.append(row)
            kept.reject_code.append(REJECT_CHANGED)
        elif row not in sent and row not in rejected:
            prepared.done.append(row)
    prepared.batch = kept
    prepared.wire = replace(kept, row=array("i", [again.rows[row] for row in kept.row]))


async def results(pool: Pool, order: Order) -> Results:
    """What the ledger knows of the order's messages; nothing is asked of a slice's first go."""
    again = order.slice.again
    if again is None:
        return {}
    start = order.slice.claimed_to
    rows = await pool.fetch(
        load("retries")["results"], again.origin_slice_id, again.rows[start : start + order.count].tolist()
    )
    return {row["row_no"]: Known(row["parts"], frozenset(row["done"])) for row in rows}
