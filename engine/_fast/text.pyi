"""Texts: GSM or UCS-2, septets and parts, templates. `engine._fast.pure.text` says what each means."""

from array import array
from collections.abc import Sequence

from typing_extensions import Buffer

from engine._fast.columns import TextTotals
from engine._fast.repertoire import Repertoire

Column = tuple[Buffer, Buffer | None]

ENCODING_GSM: int
ENCODING_UCS2: int

def encode_gsm(text: str) -> bytes | None: ...
def encode_ucs2(text: str) -> bytes: ...
def parts(text: str) -> int: ...
def classify(data: Buffer, end: array[int]) -> tuple[array[int], array[int], array[int]]: ...

class Template:
    @property
    def segments(self) -> tuple[bytes | int, ...]: ...
    @property
    def columns(self) -> int: ...
    def __init__(self, segments: Sequence[bytes | int]) -> None: ...

def render(
    template: Template, columns: Sequence[Column], rows: array[int]
) -> tuple[bytearray, array[int]]: ...
def count(
    template: Template,
    columns: Sequence[Column],
    rows: array[int],
    repertoire: Repertoire | None = None,
) -> TextTotals: ...
