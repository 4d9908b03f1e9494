"""Which channel a message goes over, and why.

The longest prefix counts, then the route that says most, then the lower position.
"""

from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from engine._fast import prefixes
from engine.core_api import schema
from engine.ledger.pool import Connection, Pool
from engine.ledger.routes import LANES, route_of
from engine.ledger.sql import load

DOWN_AFTER_S = 30.0  # without a bind for this long, a channel's messages go over the next one
NOWHERE: tuple[int, ...] = ()
_SHORT_CODE_DIGITS = 6


def sender_kind(sender: str) -> schema.SenderKind:
    """Up to six digits are a short code, other digits a number, the rest a name."""
    digits = sender.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return "alphanumeric"
    return "short_code" if len(digits) <= _SHORT_CODE_DIGITS and digits == sender else "international"


@dataclass(frozen=True, slots=True)
class Message:
    """What routes look at besides the number."""

    sender: str
    workspace_id: UUID | None = None
    category: str = ""
    lane: int = 1


@dataclass(frozen=True, slots=True)
class Tiered:
    channel_id: int
    channel: str
    tier: int
    weight: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route that fits a message but for its number, with its channels in the order of trying."""

    route_id: int
    name: str
    prefix: str
    channels: tuple[Tiered, ...]


class RoutePlan:
    """The legs of numbers: a leg is an order of channels, the same for many numbers.

    By weight, a number's first channel is one of its route's first tier; the others of the tier follow,
    then the further tiers, the heavier first."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        known: dict[str, Candidate] = {}
        for candidate in candidates:  # the most specific first: it counts for its prefix
            known.setdefault(candidate.prefix, candidate)
        self._routes = list(known.values())
        self._table = prefixes.PrefixTable(list(known), list(range(len(known))))
        self._start, self._ends, self._leg_nos = array("i", [0]), array("i"), array("i")
        legs: dict[tuple[int, ...], int] = {}
        for route in self._routes:
            total = 0
            for weight, order in _orders(route):
                total += weight
                self._ends.append(total)
                self._leg_nos.append(legs.setdefault(order, len(legs)))
            self._start.append(len(self._leg_nos))
        self.legs: tuple[tuple[int, ...], ...] = (*legs, NOWHERE)
        """Channel ids in the order of trying, by leg; the last leg is of numbers that no route fits."""

    def legs_of(self, msisdn: "array[int]") -> "array[int]":
        """The leg ('i') of each number ('q')."""
        chosen = self._table.look_up(msisdn)
        found = prefixes.spread(msisdn, chosen, self._start, self._ends, self._leg_nos)
        if -1 not in found:
            return found
        column, nowhere = pa.array(found, pa.int32()), len(self.legs) - 1
        column = pc.if_else(pc.less(column, 0), nowhere, column).cast(pa.int32())
        legs = array("i")
        legs.frombytes(column.buffers()[1])
        del legs[len(msisdn) :]  # Arrow's padding
        return legs

    def order(self, msisdn: int) -> tuple[int, ...]:
        """The channels of a number in the order of trying."""
        return self.legs[self.legs_of(array("q", [msisdn]))[0]]

    def route_of(self, msisdn: int) -> Candidate | None:
        (index,) = self._table.look_up(array("q", [msisdn]))
        return self._routes[index] if index >= 0 else None


def _orders(route: Candidate) -> Iterator[tuple[int, tuple[int, ...]]]:
    """(weight, channel ids) for each channel of the first tier."""
    ordered = sorted(route.channels, key=lambda each: (each.tier, -each.weight, each.channel_id))
    first = [each for each in ordered if each.tier == ordered[0].tier]
    rest = [each.channel_id for each in ordered[len(first) :]]
    for i, each in enumerate(first):
        yield each.weight, (*(one.channel_id for one in first[i:] + first[:i]), *rest)


def first_open(order: Sequence[int], closed: Collection[int]) -> int:
    """The first of these channels that is not closed; the first of all where every one is. 0 where there is
    none."""
    return next((each for each in order if each not in closed), order[0] if order else 0)


async def candidates(connection: Connection, message: Message) -> list[Candidate]:
    """Routes that fit the message but for its number, the most specific first."""
    rows = await connection.fetch(
        load("routes")["candidates"],
        message.workspace_id,
        message.category,
        sender_kind(message.sender),
        message.lane,
    )
    found: dict[int, Candidate] = {}
    for row in rows:
        tiered = Tiered(row["channel_id"], row["channel"], row["tier"], row["weight"])
        known = found.get(row["route_id"])
        channels = (*known.channels, tiered) if known else (tiered,)
        found[row["route_id"]] = Candidate(row["route_id"], row["name"], row["prefix"], channels)
    return list(found.values())


async def unusable(connection: Connection, *, down_after_s: float = DOWN_AFTER_S) -> dict[int, str]:
    """Channels over which nothing can be sent now, and why."""
    rows = await connection.fetch(load("routes")["unusable"], down_after_s)
    return {row["channel_id"]: row["reason"] for row in rows}


async def explain(pool: Pool, question: schema.RouteQuestion) -> schema.RouteExplanation:
    """Where a number's message goes now, and why: every enabled route that was looked at, in order."""
    number = int(question.msisdn.removeprefix("+"))
    message = Message(question.sender, question.workspace_id, question.category, LANES[question.lane])
    async with pool.acquire() as connection:
        fitting = await candidates(connection, message)
        closed = await unusable(connection)
        stored = [route_of(row) for row in await connection.fetch(load("routes")["routes"])]
    plan = RoutePlan(fitting)
    chosen = plan.route_of(number)
    considered = [_considered(route, fitting, chosen, str(number)) for route in stored]
    considered.sort(key=lambda each: (not each.matches, -len(each.prefix)))
    if chosen is None:
        return schema.RouteExplanation(
            channel="", route="", why="no route leads there", order=[], considered=considered
        )
    of = {each.channel_id: each for each in chosen.channels}
    order = [of[channel_id] for channel_id in plan.order(number)]
    channel = next((each.channel for each in order if each.channel_id not in closed), "")
    skipped = [f"{each.channel} ({closed[each.channel_id]})" for each in order if each.channel_id in closed]
    why = f"{_by_prefix(chosen.prefix)} on route {chosen.name!r}"
    if skipped:
        why += f"; passed over: {', '.join(skipped)}"
    return schema.RouteExplanation(
        channel=channel,
        route=chosen.name,
        why=why if channel else f"{why}; no other channel is left: it waits",
        order=[
            schema.RouteChannel(channel=each.channel, tier=each.tier, weight=each.weight) for each in order
        ],
        considered=considered,
    )


def _by_prefix(prefix: str) -> str:
    return f"longest prefix {prefix}" if prefix else "every number"


def _considered(
    route: schema.Route, fitting: Sequence[Candidate], chosen: Candidate | None, number: str
) -> schema.RouteChoice:
    fits = any(each.route_id == route.route_id for each in fitting)
    if not route.enabled:
        why = "disabled"
    elif not number.startswith(route.prefix):
        why = f"the number does not begin with {route.prefix}"
    elif not fits:
        why = "another workspace, category, sender kind or lane"
    elif chosen is not None and route.route_id == chosen.route_id:
        return schema.RouteChoice(route=route.name, prefix=route.prefix, matches=True, why="taken")
    elif chosen is not None and len(chosen.prefix) > len(route.prefix):
        why = f"{chosen.name!r} has a longer prefix"
    else:
        why = f"{chosen.name!r} says more, or stands before it" if chosen else "no channel"
    return schema.RouteChoice(route=route.name, prefix=route.prefix, matches=False, why=why)
