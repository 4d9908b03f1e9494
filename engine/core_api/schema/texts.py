"""Texts, counted and explained before they are sent."""

from typing import Any
from uuid import UUID

import msgspec

from engine.core_api.schema.base import Struct
from engine.core_api.schema.options import NO_OPTIONS, MessageOptions

__all__ = [
    "TextCount",
    "TextExplanation",
    "TextForced",
    "TextForm",
    "TextQuestion",
    "TextSample",
    "TextSpec",
]


class TextSpec(Struct, frozen=True, kw_only=True):
    """A text with `{{column}}` references, counted over an upload's recipients (all of them).

    With `channel`, as that channel and these options send it; without, as a channel with the defaults.
    """

    text: str
    sender: str = ""
    upload_id: UUID | None = None
    samples: int = 5
    channel: str = ""
    options: MessageOptions = NO_OPTIONS


class TextSample(Struct, frozen=True, kw_only=True):
    msisdn: str  # E.164 digits; the control plane masks it before anyone sees it
    text: str
    encoding: str  # of a form: gsm, ucs2, latin1, ia5, "turkish shift"...; "" where it is rejected
    characters: int
    parts: int


class TextCount(Struct, frozen=True, kw_only=True):
    """A dry run. `parts_histogram[i]` is the number of messages of i + 1 parts."""

    recipients: int
    parts: int
    gsm: int  # messages in a 7- or 8-bit alphabet
    ucs2: int
    parts_histogram: list[int]
    unknown_columns: list[str]
    forced_ucs2: list[str]  # characters outside the default alphabet, most frequent first, at most 10
    samples: list[TextSample]
    longest: TextSample | None = None
    encodings: dict[str, int] = msgspec.field(default_factory=dict)  # messages by form
    transliterated: int = 0
    rejected: int = 0  # messages whose characters the campaign rejects: they would fail


class TextQuestion(Struct, frozen=True, kw_only=True):
    """`settings` stand over the channel's, or over the defaults where no channel is named."""

    text: str
    channel: str = ""
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    options: MessageOptions = NO_OPTIONS


class TextForced(Struct, frozen=True, kw_only=True):
    """A character that the channel's default alphabet lacks."""

    character: str
    code: str  # U+2019
    name: str  # Unicode's
    count: int
    positions: list[int]  # from 0, at most 20
    replacement: str | None  # what transliteration writes; None: it has nothing


class TextForm(Struct, frozen=True, kw_only=True):
    """What the text takes in one form. `parts` is None where the form cannot carry it."""

    encoding: str
    parts: int | None
    units: int | None
    room: int  # units of a message of one part
    unit: str  # septets, characters, UTF-16 units


class TextExplanation(Struct, frozen=True, kw_only=True):
    """How one text goes out, what forced that, and what it would cost otherwise."""

    encoding: str = ""  # "" where its characters are rejected
    data_coding: int = 0
    parts: int = 0  # charged
    pdus: int = 0  # submit_sm
    units: int = 0
    room: int = 0  # units of each part
    unit: str = ""
    sent: str = ""  # what the recipient reads
    rejected: bool
    transliterated: bool = False
    forced: list[TextForced]  # most frequent first, at most 20
    forms: list[TextForm]
    notes: list[str]
