"""The texts of a sealed campaign as its recipients would read them: what a moderator decides on."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from engine.core_api.schema.base import Struct

__all__ = [
    "CountryTexts",
    "LinkHost",
    "OddKind",
    "OddTexts",
    "RenderedMatches",
    "RenderedSearch",
    "RenderedText",
    "RenderedTexts",
]

OddKind = Literal["empty", "placeholder", "ucs2", "rejected", "too_long", "no_rate", "no_route"]


class RenderedText(Struct, frozen=True, kw_only=True):
    """One text and one of its recipients. `encoding` is a form's name, "" where the text is rejected."""

    msisdn: str  # E.164 digits; the control plane masks it before anyone sees it
    text: str  # at most its first 2,000 characters
    encoding: str
    characters: int  # of the whole text, as the form counts them
    parts: int
    recipients: int = 1  # that get this very text
    price: int | None = None  # of one message to this recipient; None: not charged
    cut: bool = False


class OddTexts(Struct, frozen=True, kw_only=True):
    """Messages that differ from the rest. `column`: whose value is empty or looks like a missing one."""

    kind: OddKind
    column: str = ""
    recipients: int
    texts: list[RenderedText]  # some of them


class CountryTexts(Struct, frozen=True, kw_only=True):
    """`regions` share the calling code, the main one first; `calling_code` "": of no known country."""

    calling_code: str
    regions: list[str]  # ISO 3166 alpha-2
    recipients: int
    parts: int
    price: int | None = None


class LinkHost(Struct, frozen=True, kw_only=True):
    """The host of links in the text, or out of the values of a `column`. `varies`: a variable stands in it,
    as in `{{shop}}.example.com`."""

    host: str
    column: str = ""
    varies: bool = False
    recipients: int


class RenderedTexts(Struct, frozen=True, kw_only=True):
    """What a sealed campaign would send, found in one pass over its recipients.

    `scanned` is `recipients` unless the pass ran out of time: then all that stands here is of as many
    recipients, taken by chunks in random order. `distinct` None: more different texts than are listed
    (1,000), and `texts` is empty; the other lists stand for them. Prices are in 1/10,000 of the wallet's
    unit; None where the workspace is not charged.
    """

    campaign_id: UUID
    manifest_hash: str
    columns: list[str]  # of the file, which a search may name
    used: list[str]  # of them, those in the text
    recipients: int
    scanned: int
    distinct: int | None
    texts: list[RenderedText]  # most recipients first
    longest: list[RenderedText]
    costliest: list[RenderedText]
    sample: list[RenderedText]  # chosen by the manifest's hash: the same at every look
    odd: list[OddTexts]
    countries: list[CountryTexts]  # most recipients first
    hosts: list[LinkHost]  # at most 100
    parts: int
    price: int | None
    currency: str
    by_routes: bool


class RenderedSearch(Struct, frozen=True, kw_only=True):
    """Recipients whose text, or whose value of `column`, contains `query`, whatever its case."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    column: str = ""
    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 25


class RenderedMatches(Struct, frozen=True, kw_only=True):
    """A page of matches. `next` None: nothing is left to look through; fewer matches than asked for with a
    `next` mean that the time of one page is over."""

    texts: list[RenderedText]
    looked_through: int  # recipients, from the first on
    recipients: int
    next: str | None
