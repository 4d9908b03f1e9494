"""One pass over the chunks of a sealed campaign: everything a moderator has to see of its texts.

Memory does not grow with the recipients: at most 1,000 different texts are kept, then only the extremes.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from engine._fast import prefixes
from engine.core_api import schema
from engine.core_api.server.rendered_columns import hosts, missing, text_hosts
from engine.core_api.server.rendered_pick import (
    BLOCK_BYTES,
    SHOWN_CHARACTERS,
    Block,
    Chunk,
    Content,
    Many,
    Top,
)
from engine.recipients.chunk import columns_of, msisdn_of, read_chunk

if TYPE_CHECKING:
    from engine._fast.columns import TextTotals
    from engine.ledger.routing import RoutePlan

MOST_TEXTS = 1_000
SHOWN = 50
SAMPLE = 100
NO_RATE, NO_ROUTE = -1, -2
_CODES = sorted(COUNTRY_CODE_TO_REGION_CODE)
_COUNTRIES = prefixes.PrefixTable([str(code) for code in _CODES], [*range(len(_CODES))])
_BY_PRICE = 1 << 33  # prices are below


@dataclass(frozen=True)
class Tariff:
    """The price of a part to each number. Without `tables` nothing is charged; with `plan` by routes."""

    tables: dict[int, prefixes.PrefixTable]  # by channel
    channel_id: int | None = None
    plan: RoutePlan | None = None

    @property
    def charged(self) -> bool:
        return bool(self.tables)

    def prices(self, numbers: array[int]) -> pa.Int64Array:
        """Zero or more, NO_RATE or NO_ROUTE."""
        if self.plan is None:
            return self._of(self.channel_id, numbers)
        legs = _int32(self.plan.legs_of(numbers))
        found = pa.repeat(pa.scalar(NO_ROUTE, pa.int64()), len(numbers))
        for leg in pc.unique(legs).to_pylist():
            if order := self.plan.legs[leg]:
                found = pc.if_else(pc.equal(legs, leg), self._of(order[0], numbers), found)
        return found

    def _of(self, channel_id: int | None, numbers: array[int]) -> pa.Int64Array:
        table = self.tables.get(channel_id or 0)
        if table is None:
            return pa.repeat(pa.scalar(NO_RATE if self.charged else 0, pa.int64()), len(numbers))
        return _int64(table.look_up(numbers))


@dataclass
class _Country:
    recipients: int = 0
    parts: int = 0
    price: int = 0


@dataclass
class _Odd:
    recipients: int = 0
    texts: dict[str, schema.RenderedText] = field(default_factory=dict)


@dataclass(frozen=True)
class _Group:
    """Rows of one country and one price."""

    country: int
    price: int
    rows: array[int]
    counted: TextTotals


class Scan:
    """Feed it chunks in any order with `add`, then ask for the `result`."""

    def __init__(self, content: Content, tariff: Tariff, recipients: int, seed: bytes) -> None:
        self._content = content
        self._tariff = tariff
        self._recipients = recipients
        self.scanned = 0
        self._parts = self._price = 0
        self._distinct: dict[str | bytes, schema.RenderedText] | None = {}
        self._recipients_of: Counter[str | bytes] = Counter()
        self._longest, self._costliest = Top(SHOWN), Top(SHOWN)
        self._odd: dict[tuple[schema.OddKind, str], _Odd] = {}
        self._countries: dict[int, _Country] = {}
        self._hosts: dict[str, Counter[str]] = {content.columns[at]: Counter() for at in content.used}
        self._picks = sorted(Random(seed).sample(range(recipients), min(SAMPLE, recipients)))
        self._sample: list[tuple[int, schema.RenderedText]] = []

    def add(self, data: bytes, first_row: int) -> None:
        """One chunk; `first_row`: its first recipient among all, from 0."""
        batch = read_chunk(data)
        numbers = array("q", msisdn_of(batch))
        chunk = Chunk(self._content, columns_of(batch, self._content.columns), numbers)
        prices = self._tariff.prices(numbers)
        blocks = self._blocks(chunk, prices)
        for block in blocks:
            self._sum(block)
        self._tops(chunk, blocks)
        self._odd_encodings(chunk, blocks)
        self._odd_values(chunk, batch, prices)
        self._count_texts(chunk, prices)
        self._take_sample(chunk, prices, first_row)
        self.scanned += batch.num_rows

    def result(self, campaign: schema.Campaign, currency: str) -> schema.RenderedTexts:
        texts = [
            msgspec.structs.replace(text, recipients=self._recipients_of[key])
            for key, text in (self._distinct or {}).items()
        ]
        charged = self._tariff.charged
        return schema.RenderedTexts(
            campaign_id=campaign.campaign_id,
            manifest_hash=campaign.manifest_hash,
            columns=self._content.columns,
            used=[self._content.columns[at] for at in self._content.used],
            recipients=self._recipients,
            scanned=self.scanned,
            distinct=None if self._distinct is None else len(texts),
            texts=sorted(texts, key=lambda one: -one.recipients),
            longest=self._longest.texts,
            costliest=self._costliest.texts if charged else [],
            sample=[text for _row, text in sorted(self._sample, key=lambda one: one[0])],
            odd=[
                schema.OddTexts(
                    kind=kind, column=column, recipients=odd.recipients, texts=[*odd.texts.values()]
                )
                for (kind, column), odd in sorted(self._odd.items())
                if odd.recipients and (kind != "ucs2" or odd.recipients < self.scanned)
            ],
            countries=self._country_list(),
            hosts=[
                schema.LinkHost(host=host, varies=varies, recipients=self.scanned)
                for host, varies in text_hosts(self._content.text)
            ]
            + [
                schema.LinkHost(host=host, column=column, recipients=recipients)
                for column, found in self._hosts.items()
                for host, recipients in found.most_common()
            ],
            parts=self._parts,
            price=self._price if charged else None,
            currency=currency if charged else "",
            by_routes=self._tariff.plan is not None,
        )

    def _blocks(self, chunk: Chunk, prices: pa.Int64Array) -> list[_Group]:
        countries = _int64(_COUNTRIES.look_up(chunk.numbers))
        keys = pc.add(pc.multiply(countries, _BY_PRICE), pc.subtract(prices, NO_ROUTE))
        blocks = []
        for key in pc.unique(keys).to_pylist():
            rows = _rows(pc.equal(keys, key))
            country, price = divmod(key, _BY_PRICE)
            blocks.append(_Group(country, price + NO_ROUTE, rows, chunk.count(rows)))
        return blocks

    def _sum(self, block: _Group) -> None:
        sent = block.price >= 0
        parts = self._content.parts(block.counted) * sent
        country = self._countries.setdefault(block.country, _Country())
        country.recipients += len(block.rows)
        country.parts += parts
        country.price += parts * max(block.price, 0)
        self._parts += parts
        self._price += parts * max(block.price, 0)

    def _tops(self, chunk: Chunk, blocks: list[_Group]) -> None:
        self._longest.add(chunk, (Block(1, self._shown(one.price), one.rows, one.counted) for one in blocks))
        if self._tariff.charged:
            self._costliest.add(
                chunk, (Block(one.price, one.price, one.rows, one.counted) for one in blocks if one.price > 0)
            )

    def _odd_encodings(self, chunk: Chunk, blocks: list[_Group]) -> None:
        kinds: tuple[tuple[schema.OddKind, Many], ...] = (
            ("ucs2", lambda counted: counted.ucs2),
            ("rejected", lambda counted: counted.rejected),
            ("too_long", self._content.too_long),
        )
        for kind, many in kinds:
            for block in blocks:
                if found := many(block.counted):
                    odd = self._noted(kind, "", found)
                    rows = chunk.some(block.rows, many, SHOWN - len(odd.texts))
                    self._show(chunk, odd, rows, block.price)
        for block in blocks:
            if block.price < 0:
                odd = self._noted("no_rate" if block.price == NO_RATE else "no_route", "", len(block.rows))
                self._show(chunk, odd, block.rows[:SHOWN], block.price)

    def _odd_values(self, chunk: Chunk, batch: pa.RecordBatch, prices: pa.Int64Array) -> None:
        for at in self._content.used:
            name = self._content.columns[at]
            values = batch.column(name)
            kinds: tuple[schema.OddKind, schema.OddKind] = ("empty", "placeholder")
            for kind, which in zip(kinds, missing(values), strict=True):
                if found := pc.sum(which).as_py() or 0:
                    odd = self._noted(kind, name, found)
                    for row in _rows(which)[: SHOWN - len(odd.texts)]:
                        self._show(chunk, odd, [row], prices[row].as_py())
            hosts(values, self._hosts[name])

    def _count_texts(self, chunk: Chunk, prices: pa.Int64Array) -> None:
        total = len(chunk.numbers)
        if not self._content.used:  # one text for all
            self._merge(chunk, prices, chunk.texts(array("i", [0]))[0], total, lambda: 0)
            return
        step = chunk.rows_of(BLOCK_BYTES)
        for start in range(0, total, step):
            if self._distinct is None:
                return
            column = chunk.text_column(array("i", range(start, min(start + step, total))))
            encoded = column.dictionary_encode()
            found = encoded.indices.value_counts()
            counts = dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True))
            for index, text in enumerate(encoded.dictionary.to_pylist()):
                at = partial(_first, encoded.indices, index, start)
                self._merge(chunk, prices, text, counts[index], at)
                if self._distinct is None:
                    return

    def _merge(
        self, chunk: Chunk, prices: pa.Int64Array, text: str, recipients: int, at: Callable[[], int]
    ) -> None:
        """`at` finds the first row of the text: asked only for one that is not known."""
        assert self._distinct is not None
        key = text if len(text) <= SHOWN_CHARACTERS else hashlib.sha256(text.encode()).digest()
        if key in self._distinct:
            self._recipients_of[key] += recipients
        elif len(self._distinct) < MOST_TEXTS:
            row = at()
            self._distinct[key] = chunk.shown(row, text, self._shown(prices[row].as_py()))
            self._recipients_of[key] = recipients
        else:
            self._distinct = None

    def _take_sample(self, chunk: Chunk, prices: pa.Int64Array, first_row: int) -> None:
        picked = [row - first_row for row in self._picks if 0 <= row - first_row < len(chunk.numbers)]
        for row, text in zip(picked, chunk.texts(array("i", picked)), strict=True):
            shown = chunk.shown(row, text, self._shown(prices[row].as_py()))
            self._sample.append((first_row + row, shown))

    def _noted(self, kind: schema.OddKind, column: str, recipients: int) -> _Odd:
        odd = self._odd.setdefault((kind, column), _Odd())
        odd.recipients += recipients
        return odd

    def _show(self, chunk: Chunk, odd: _Odd, rows: array[int] | list[int], price: int) -> None:
        for row, text in zip(rows, chunk.texts(array("i", rows)), strict=True):
            if len(odd.texts) < SHOWN and text[:SHOWN_CHARACTERS] not in odd.texts:
                shown = chunk.shown(row, text, self._shown(price))
                odd.texts[shown.text] = shown

    def _shown(self, price: int) -> int | None:
        return price if self._tariff.charged else None

    def _country_list(self) -> list[schema.CountryTexts]:
        ordered = sorted(self._countries.items(), key=lambda item: -item[1].recipients)
        return [
            schema.CountryTexts(
                calling_code=str(_CODES[index]) if index >= 0 else "",
                regions=list(COUNTRY_CODE_TO_REGION_CODE[_CODES[index]]) if index >= 0 else [],
                recipients=found.recipients,
                parts=found.parts,
                price=found.price if self._tariff.charged else None,
            )
            for index, found in ordered
        ]


def _first(indices: pa.Int32Array, index: int, start: int) -> int:
    return start + int(pc.index(indices, index).as_py())


def _rows(mask: pa.BooleanArray) -> array[int]:
    """Indices ('i') of what is true."""
    indices = pc.indices_nonzero(mask).cast(pa.int32())
    rows = array("i")
    rows.frombytes(indices.buffers()[1])
    del rows[len(indices) :]  # Arrow's padding
    return rows


def _int64(values: array[int]) -> pa.Int64Array:
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def _int32(values: array[int]) -> pa.Int32Array:
    return pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(values)])
