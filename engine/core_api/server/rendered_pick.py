"""Texts of a chunk chosen by how they are encoded, without an object a message.

`_fast.text.count` says for any set of rows how many parts they take and which row is the longest; halving the
set finds the rows that are wanted in the encoder's own terms, whatever the channel's alphabets are.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count, pairwise
from typing import TYPE_CHECKING

import pyarrow as pa

from engine._fast import text as fast_text
from engine._fast.columns import TextTotals
from engine.core_api import schema

if TYPE_CHECKING:
    from engine._fast.repertoire import Repertoire

SHOWN_CHARACTERS = 2_000
BLOCK_BYTES = 16 << 20  # rendered at once: a text has up to 10,000 characters
_MOST = 1 << 62
Many = Callable[[TextTotals], int]


@dataclass(frozen=True)
class Content:
    """A sealed text as its channel sends it. `used`: the columns in it, by index."""

    template: fast_text.Template
    repertoire: Repertoire
    columns: list[str]
    used: list[int]
    max_parts: int
    text: str = ""  # the template as it was written

    def parts(self, counted: TextTotals) -> int:
        """Parts that go out: a message of too many does not."""
        return sum(parts * messages for parts, messages in enumerate(counted.histogram[: self.max_parts], 1))

    def too_long(self, counted: TextTotals) -> int:
        return sum(counted.histogram[self.max_parts :])


@dataclass(frozen=True)
class Chunk:
    """A chunk of recipients as the templates take it."""

    content: Content
    columns: Sequence[fast_text.Column]
    numbers: array[int]  # 'q'

    def count(self, rows: array[int]) -> TextTotals:
        return fast_text.count(self.content.template, self.columns, rows, self.content.repertoire)

    def texts(self, rows: array[int]) -> list[str]:
        data, end = fast_text.render(self.content.template, self.columns, rows)
        return [data[begin:stop].decode() for begin, stop in pairwise(chain((0,), end))]

    def different(self, rows: array[int]) -> array[int]:
        """The first row of each text (where they take much room, of each in its part of the rows)."""
        if not self.content.used:
            return rows[:1]
        found, step = array("i"), self.rows_of(BLOCK_BYTES)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            texts = self.text_column(part).dictionary_encode().indices
            places = pa.array(range(len(part)), pa.int32())
            firsts = pa.table({"text": texts, "place": places}).group_by("text").aggregate([("place", "min")])
            found.extend(part[place] for place in firsts.column("place_min").to_pylist())
        return found

    def rows_of(self, size_bytes: int) -> int:
        """How many rows' texts take about so many octets; at least 1,024."""
        total = 0
        for segment in self.content.template.segments:
            if isinstance(segment, int):
                values = self.columns[segment][1]
                total += memoryview(values).nbytes if values is not None else 0
            else:
                total += len(segment) * len(self.numbers)
        return max(1_024, len(self.numbers) * size_bytes // max(1, total))

    def text_column(self, rows: array[int]) -> pa.StringArray:
        """The rows' texts as Arrow."""
        data, end = fast_text.render(self.content.template, self.columns, rows)
        offsets = array("i", chain((0,), end))
        return pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(data))

    def shown(self, row: int, text: str, price: int | None = None) -> schema.RenderedText:
        """One row's text. price: of a part; None: not charged."""
        written = self.content.repertoire.write(text)
        number = str(self.numbers[row])
        cut, short = len(text) > SHOWN_CHARACTERS, text[:SHOWN_CHARACTERS]
        if written is None:
            free = None if price is None else 0
            return schema.RenderedText(
                msisdn=number, text=short, encoding="", characters=len(text), parts=0, price=free, cut=cut
            )
        octets, parts = sum(map(len, written.pieces)), len(written.pieces)
        goes_out = parts <= self.content.max_parts
        return schema.RenderedText(
            msisdn=number,
            text=short,
            encoding=written.form.name,
            characters=octets // 2 if written.form.table is None else octets,
            parts=parts,
            price=None if price is None else max(price, 0) * parts * goes_out,
            cut=cut,
        )

    def octets(self, text: str) -> int:
        """Of user data, headers not counted; 0 where it is rejected."""
        written = self.content.repertoire.write(text)
        return 0 if written is None else sum(map(len, written.pieces))

    def some(self, rows: array[int], many: Many, most: int) -> list[int]:
        """At most `most` of the rows that `many` counts. A row is counted or not, whatever the others are."""
        found: list[int] = []
        left = [rows]
        while left and len(found) < most:
            block = left.pop()
            if not many(self.count(block)):
                continue
            if len(block) == 1:
                found.append(block[0])
            else:
                half = len(block) // 2
                left += [block[half:], block[:half]]
        return found


def heaviest(counted: TextTotals) -> int:
    """Parts of the longest message."""
    return next((n for n in range(len(counted.histogram), 0, -1) if counted.histogram[n - 1]), 0)


Weight = tuple[int, int, int]  # of a message: price x parts, parts, octets


@dataclass(frozen=True)
class Block:
    """Rows of one price. weight: of each of their parts. price: of a part; None: not charged."""

    weight: int
    price: int | None
    rows: array[int]
    counted: TextTotals


class Top:
    """The `most` texts of the highest weight, each once.

    A block's longest message is its heaviest, so the heaviest of all blocks is taken out, its block is
    halved, and so on. Before that a block is reduced to one row of each text.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[tuple[Weight, int, schema.RenderedText]] = []
        self._known: set[str] = set()
        self._turn = count()

    @property
    def texts(self) -> list[schema.RenderedText]:
        """The heaviest first."""
        return [text for _weight, _turn, text in sorted(self._kept, key=lambda one: one[:2], reverse=True)]

    def add(self, chunk: Chunk, blocks: Iterable[Block]) -> None:
        heap: list[tuple[Weight, int, Block, schema.RenderedText]] = []

        def push(block: Block) -> None:
            if block.counted.longest_row < 0 or self._beaten(
                (block.weight * heaviest(block.counted), _MOST, 0)
            ):
                return
            weight, text = self._weighed(chunk, block)
            if not self._beaten(weight):
                negative = (-weight[0], -weight[1], -weight[2])
                heapq.heappush(heap, (negative, next(self._turn), block, text))

        for block in blocks:
            if not self._beaten((block.weight * heaviest(block.counted), _MOST, 0)):
                rows = chunk.different(block.rows)
                push(Block(block.weight, block.price, rows, chunk.count(rows)))
        for _turn in range(4 * self._most):
            if not heap:
                return
            negative, _, block, text = heapq.heappop(heap)
            weight = (-negative[0], -negative[1], -negative[2])
            if self._beaten(weight):
                return
            self._keep(weight, text)
            at = block.counted.longest_row
            rest = block.rows[:at] + block.rows[at + 1 :]
            half = len(rest) // 2
            for rows in (rest[:half], rest[half:]):
                if len(rows):
                    push(Block(block.weight, block.price, rows, chunk.count(rows)))

    def _weighed(self, chunk: Chunk, block: Block) -> tuple[Weight, schema.RenderedText]:
        """Of the block's longest message."""
        row = block.rows[block.counted.longest_row]
        (text,) = chunk.texts(array("i", [row]))
        shown, octets = chunk.shown(row, text, block.price), chunk.octets(text)
        return (block.weight * shown.parts, shown.parts, octets), shown

    def _beaten(self, weight: Weight) -> bool:
        """Nothing of this weight would be kept."""
        return len(self._kept) == self._most and weight <= self._kept[0][0]

    def _keep(self, weight: Weight, text: schema.RenderedText) -> None:
        if text.text in self._known:
            return
        self._known.add(text.text)
        entry = (weight, -next(self._turn), text)
        if len(self._kept) < self._most:
            heapq.heappush(self._kept, entry)
        else:
            self._known.discard(heapq.heappushpop(self._kept, entry)[2].text)
