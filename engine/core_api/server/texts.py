"""Dry runs: what a text becomes over every recipient of an upload, before anybody approves it."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine._fast import text as fast_text
from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body
from engine.core_api.server.state import engine
from engine.ledger import uploads
from engine.recipients.chunk import columns_of, read_chunk
from engine.smpp.text import MalformedTemplate, UnknownColumn, compile_template

MAX_SAMPLES = 1_000
_SHOWN_CHARACTERS = 10
_CHARACTER_ROWS = 4_096  # of each chunk, looked through for what forced UCS-2


@dataclass
class _Totals:
    recipients: int = 0
    parts: int = 0
    gsm: int = 0
    ucs2: int = 0
    histogram: list[int] = field(default_factory=list)
    characters: Counter[str] = field(default_factory=Counter)
    samples: list[schema.TextSample] = field(default_factory=list)
    longest: schema.TextSample | None = None


async def count(request: Request) -> Response:
    """Parts and alphabets over all recipients (or of the text alone where there is no upload yet)."""
    spec = await body(request, schema.TextSpec)
    if spec.upload_id is None:
        return answer(await asyncio.to_thread(_alone, spec.text))
    state = engine(request)
    upload = await uploads.get(state.pool, spec.upload_id)
    try:
        segments = compile_template(spec.text, upload.columns)
    except UnknownColumn as error:
        return answer(_result(_Totals(recipients=upload.accepted), sorted(error.names)))
    except MalformedTemplate as error:
        raise Refused("invalid", 422, "The text cannot be read", str(error), "text") from error
    template, totals = fast_text.Template(segments), _Totals()
    samples = min(spec.samples, MAX_SAMPLES)
    for chunk_no in await uploads.chunk_numbers(state.pool, spec.upload_id):
        data = await uploads.chunk(state.pool, spec.upload_id, chunk_no)
        await asyncio.to_thread(_add_chunk, totals, template, data, upload.columns, samples)
    return answer(_result(totals, []))


def _alone(text: str) -> schema.TextCount:
    """A text without recipients: its references stand as they are written."""
    totals = _Totals(recipients=0)
    if text:
        sample = _sample("", text)
        totals.parts, totals.samples, totals.longest = sample.parts, [sample], sample
        totals.gsm, totals.ucs2 = int(sample.encoding == "gsm"), int(sample.encoding == "ucs2")
        totals.histogram = [0] * (sample.parts - 1) + [1]
        totals.characters.update(_outside_gsm(text))
    return _result(totals, [])


def _add_chunk(
    totals: _Totals, template: fast_text.Template, data: bytes, names: list[str], samples: int
) -> None:
    batch = read_chunk(data)
    columns, every = columns_of(batch, names), array("i", range(batch.num_rows))
    counted = fast_text.count(template, columns, every)
    totals.recipients += counted.messages
    totals.parts += counted.parts
    totals.gsm += counted.gsm
    totals.ucs2 += counted.ucs2
    missing = len(counted.histogram) - len(totals.histogram)
    totals.histogram.extend([0] * missing)
    for parts_less_one, messages in enumerate(counted.histogram):
        totals.histogram[parts_less_one] += messages
    wanted = array("i", range(min(samples - len(totals.samples), batch.num_rows)))
    for sample in _render(template, columns, wanted, batch):
        totals.samples.append(sample)
    if counted.ucs2:
        for text in _texts(template, columns, every[:_CHARACTER_ROWS]):
            totals.characters.update(_outside_gsm(text))
    if counted.longest_row >= 0:
        (longest,) = _render(template, columns, array("i", [counted.longest_row]), batch)
        if totals.longest is None or longest.parts > totals.longest.parts:
            totals.longest = longest


def _render(
    template: fast_text.Template,
    columns: Sequence[fast_text.Column],
    rows: array[int],
    batch: pa.RecordBatch,
) -> list[schema.TextSample]:
    numbers, texts = batch.column("msisdn"), _texts(template, columns, rows)
    return [_sample(str(numbers[row].as_py()), text) for row, text in zip(rows, texts, strict=True)]


def _texts(template: fast_text.Template, columns: Sequence[fast_text.Column], rows: array[int]) -> list[str]:
    data, end = fast_text.render(template, columns, rows)
    return [data[begin:stop].decode() for begin, stop in pairwise(chain((0,), end))]


def _sample(msisdn: str, text: str) -> schema.TextSample:
    encoded = text.encode()
    encoding, units, parts = fast_text.classify(encoded, array("i", [len(encoded)]))
    return schema.TextSample(
        msisdn=msisdn,
        text=text,
        encoding="ucs2" if encoding[0] else "gsm",
        characters=units[0],
        parts=parts[0],
    )


def _outside_gsm(text: str) -> list[str]:
    return [character for character in text if fast_text.encode_gsm(character) is None]


def _result(totals: _Totals, unknown: list[str]) -> schema.TextCount:
    return schema.TextCount(
        recipients=totals.recipients,
        parts=totals.parts,
        gsm=totals.gsm,
        ucs2=totals.ucs2,
        parts_histogram=totals.histogram,
        unknown_columns=unknown,
        forced_ucs2=[character for character, _ in totals.characters.most_common(_SHOWN_CHARACTERS)],
        samples=totals.samples,
        longest=totals.longest,
    )


routes = [Route("/texts/count", count, methods=["POST"])]
