"""What a text becomes, and why: for one, or over every recipient of an upload before anybody approves it."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine._fast import text as fast_text
from engine._fast.columns import TextTotals
from engine.channels.described import convert
from engine.channels.explain import explain as explained
from engine.channels.interface import BadSettings
from engine.channels.message_encoder import repertoire_of
from engine.channels.message_settings import MessageSettings
from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body
from engine.core_api.server.state import engine
from engine.ledger import accounts, uploads
from engine.recipients.chunk import columns_of, read_chunk
from engine.smpp.text import MalformedTemplate, UnknownColumn, compile_template

if TYPE_CHECKING:
    from engine._fast.repertoire import Repertoire

MAX_SAMPLES = 1_000
_SHOWN_CHARACTERS = 10
_CHARACTER_ROWS = 4_096  # of each chunk, looked through for what forced UCS-2


@dataclass
class _Totals:
    recipients: int = 0
    parts: int = 0
    gsm: int = 0
    ucs2: int = 0
    transliterated: int = 0
    rejected: int = 0
    encodings: Counter[str] = field(default_factory=Counter)
    histogram: list[int] = field(default_factory=list)
    characters: Counter[str] = field(default_factory=Counter)
    samples: list[schema.TextSample] = field(default_factory=list)
    longest: schema.TextSample | None = None


@dataclass(frozen=True)
class _Text:
    """A text as a campaign would send it."""

    template: fast_text.Template
    repertoire: Repertoire


async def explain(request: Request) -> Response:
    """How one text goes out: alphabet, parts, what forced them, and what it would cost otherwise."""
    question = await body(request, schema.TextQuestion)
    stored = await _settings(request, question.channel)
    settings = _chosen(stored | question.settings)
    try:
        found = await asyncio.to_thread(explained, question.text, settings, question.options)
    except BadSettings as error:
        raise Refused("invalid", 422, "The text cannot be explained", str(error), "text") from error
    return answer(found)


async def count(request: Request) -> Response:
    """Parts and alphabets over all recipients (or of the text alone where there is no upload yet)."""
    spec = await body(request, schema.TextSpec)
    settings = _chosen(await _settings(request, spec.channel))
    try:
        repertoire = repertoire_of(settings, spec.options)
    except BadSettings as error:
        raise Refused("invalid", 422, "The channel's settings do not fit", str(error), "channel") from error
    if spec.upload_id is None:
        return answer(await asyncio.to_thread(_alone, spec.text, repertoire))
    state = engine(request)
    upload = await uploads.get(state.pool, spec.upload_id)
    try:
        segments = compile_template(spec.text, upload.columns)
    except UnknownColumn as error:
        return answer(_result(_Totals(recipients=upload.accepted), sorted(error.names)))
    except MalformedTemplate as error:
        raise Refused("invalid", 422, "The text cannot be read", str(error), "text") from error
    text, totals = _Text(fast_text.Template(segments), repertoire), _Totals()
    samples = min(spec.samples, MAX_SAMPLES)
    for chunk_no in await uploads.chunk_numbers(state.pool, spec.upload_id):
        data = await uploads.chunk(state.pool, spec.upload_id, chunk_no)
        await asyncio.to_thread(_add_chunk, totals, text, data, upload.columns, samples)
    return answer(_result(totals, []))


async def _settings(request: Request, channel: str) -> dict[str, Any]:
    """Stored settings of a channel; none where none is named."""
    if not channel:
        return {}
    async with engine(request).pool.acquire() as connection:
        stored = await accounts.channels(connection)
    settings = next((each.settings for each in stored if each.name == channel), None)
    if settings is None:
        raise Refused("not-found", 404, "There is no such channel", f"channel {channel!r}", "channel")
    return settings


def _chosen(settings: dict[str, Any]) -> MessageSettings:
    try:
        return convert(settings, MessageSettings)
    except BadSettings as error:
        raise Refused("invalid", 422, "The settings do not fit", str(error), "settings") from error


def _alone(text: str, repertoire: Repertoire) -> schema.TextCount:
    """A text without recipients: its references stand as they are written."""
    totals = _Totals(recipients=0)
    if text:
        alone = _Text(fast_text.Template([text.encode("utf-8", "replace")]), repertoire)
        _add(totals, fast_text.count(alone.template, [], array("i", [0]), repertoire), repertoire)
        totals.recipients = 0
        totals.samples = [_sample("", text, repertoire)]
        totals.longest = totals.samples[0]
        totals.histogram = totals.histogram[: max(1, totals.longest.parts)]
        totals.characters.update(_outside(text, repertoire))
    return _result(totals, [])


def _add(totals: _Totals, counted: TextTotals, repertoire: Repertoire) -> None:
    totals.recipients += counted.messages
    totals.parts += counted.parts
    totals.gsm += counted.gsm
    totals.ucs2 += counted.ucs2
    totals.transliterated += counted.transliterated
    totals.rejected += counted.rejected
    for form, messages in zip(repertoire.forms, counted.forms, strict=True):
        totals.encodings[form.name] += messages
    missing = len(counted.histogram) - len(totals.histogram)
    totals.histogram.extend([0] * missing)
    for parts_less_one, messages in enumerate(counted.histogram):
        totals.histogram[parts_less_one] += messages


def _add_chunk(totals: _Totals, text: _Text, data: bytes, names: list[str], samples: int) -> None:
    batch, template = read_chunk(data), text.template
    columns, every = columns_of(batch, names), array("i", range(batch.num_rows))
    counted = fast_text.count(template, columns, every, text.repertoire)
    _add(totals, counted, text.repertoire)
    wanted = array("i", range(min(samples - len(totals.samples), batch.num_rows)))
    totals.samples += _render(text, columns, wanted, batch)
    if counted.ucs2 or counted.transliterated or counted.rejected:
        for each in _texts(template, columns, every[:_CHARACTER_ROWS]):
            totals.characters.update(_outside(each, text.repertoire))
    if counted.longest_row >= 0:
        (longest,) = _render(text, columns, array("i", [counted.longest_row]), batch)
        if totals.longest is None or longest.parts > totals.longest.parts:
            totals.longest = longest


def _render(
    text: _Text, columns: Sequence[fast_text.Column], rows: array[int], batch: pa.RecordBatch
) -> list[schema.TextSample]:
    numbers, texts = batch.column("msisdn"), _texts(text.template, columns, rows)
    return [
        _sample(str(numbers[row].as_py()), each, text.repertoire)
        for row, each in zip(rows, texts, strict=True)
    ]


def _texts(template: fast_text.Template, columns: Sequence[fast_text.Column], rows: array[int]) -> list[str]:
    data, end = fast_text.render(template, columns, rows)
    return [data[begin:stop].decode() for begin, stop in pairwise(chain((0,), end))]


def _sample(msisdn: str, text: str, repertoire: Repertoire) -> schema.TextSample:
    written = repertoire.write(text)
    if written is None:
        return schema.TextSample(msisdn=msisdn, text=text, encoding="", characters=len(text), parts=0)
    octets = sum(map(len, written.pieces))
    return schema.TextSample(
        msisdn=msisdn,
        text=text,
        encoding=written.form.name,
        characters=octets // 2 if written.form.table is None else octets,
        parts=len(written.pieces),
    )


def _outside(text: str, repertoire: Repertoire) -> list[str]:
    """Characters that the channel's default alphabet lacks."""
    table = repertoire.forms[0].table
    assert table is not None
    return [character for character in text if character not in table]


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
        encodings={name: count for name, count in totals.encodings.items() if count},
        transliterated=totals.transliterated,
        rejected=totals.rejected,
    )


routes = [
    Route("/texts/count", count, methods=["POST"]),
    Route("/texts/explain", explain, methods=["POST"]),
]
