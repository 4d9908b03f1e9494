"""The messages every scenario sends: one text with a name in it, to numbers of one country."""

import importlib
from array import array
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from engine.smpp.text import compile_template

TEXT = "Hello {{name}}, your order is ready for collection."
NAMES = ("Anna", "José", "Zoë", "Grace", "Søren", "Ada", "Maria del Carmen", "Ludovic", "Li", "François")
SENDER = b"HELIOGRAPH"
FIRST_MSISDN = 447_700_000_000


@dataclass(frozen=True)
class Messages:
    """`count` rows as the dispatch has them: int64 numbers and Arrow string columns."""

    msisdn: "array[int]"
    columns: list[tuple[Any, Any]]
    rows: "array[int]"
    text: str = TEXT
    most_parts: int = 1

    @property
    def count(self) -> int:
        return len(self.rows)


def messages(count: int, first: int = 0, text: str = TEXT, most_parts: int = 1) -> Messages:
    """`most_parts`: of any of the text's messages."""
    names = pa.array([NAMES[(first + i) % len(NAMES)] for i in range(count)], pa.string())
    _, offsets, data = names.buffers()
    return Messages(
        array("q", range(FIRST_MSISDN + first, FIRST_MSISDN + first + count)),
        [(offsets, data)],
        array("i", range(count)),
        text,
        most_parts,
    )


def fast(name: str, *, pure: bool) -> Any:
    """`engine._fast` module `name`: the C one or its twin, whatever the environment says."""
    return importlib.import_module(f"engine._fast.{'pure.' if pure else ''}{name}")


def encoder(*, pure: bool, text: str = TEXT) -> Any:
    """A SubmitEncoder of a text with {{name}}."""
    template = fast("text", pure=pure).Template(compile_template(text, ["name"]))
    return fast("pdu", pure=pure).SubmitEncoder(template=template, source=SENDER, source_ton=5, source_npi=0)


def rendered(first: int, count: int) -> list[tuple[str, str]]:
    """(number, text) pairs for libraries that take one message at a time."""
    return [
        (str(FIRST_MSISDN + i), TEXT.replace("{{name}}", NAMES[i % len(NAMES)]))
        for i in range(first, first + count)
    ]
