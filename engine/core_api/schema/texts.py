"""Texts, counted before they are sent."""

from typing import Literal
from uuid import UUID

from engine.core_api.schema.base import Struct

__all__ = ["TextCount", "TextSample", "TextSpec"]


class TextSpec(Struct, frozen=True, kw_only=True):
    """A text with `{{column}}` references, counted over an upload's recipients (all of them)."""

    text: str
    sender: str = ""
    upload_id: UUID | None = None
    samples: int = 5


class TextSample(Struct, frozen=True, kw_only=True):
    msisdn: str  # E.164 digits; the control plane masks it before anyone sees it
    text: str
    encoding: Literal["gsm", "ucs2"]
    characters: int
    parts: int


class TextCount(Struct, frozen=True, kw_only=True):
    """A dry run. `parts_histogram[i]` is the number of messages of i + 1 parts."""

    recipients: int
    parts: int
    gsm: int
    ucs2: int
    parts_histogram: list[int]
    unknown_columns: list[str]
    forced_ucs2: list[str]  # characters outside GSM 03.38, most frequent first, at most 10
    samples: list[TextSample]
    longest: TextSample | None = None
