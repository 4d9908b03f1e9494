"""The hot path in C, and the plain-Python twins that say what it means.

Each module here (`pdu`, `text`, ...) is a Cython extension with a twin of the same name in `pure/`.
Import them as `from engine._fast import pdu`; HELIOGRAPH_PURE=1 selects the twins.
Batch in, batch out: no sockets, no settings, no clock.
"""

import importlib
import os
from typing import TYPE_CHECKING

PURE = os.environ.get("HELIOGRAPH_PURE", "") not in ("", "0")

if TYPE_CHECKING:
    from engine._fast import (
        copyformat,
        lines,
        masks,
        msisdn,
        numberset,
        pdu,
        prefixes,
        receipts,
        recent,
        repertoire,
        tally,
        text,
        window,
    )

__all__ = [
    "PURE",
    "copyformat",
    "lines",
    "masks",
    "msisdn",
    "numberset",
    "pdu",
    "prefixes",
    "receipts",
    "recent",
    "repertoire",
    "tally",
    "text",
    "window",
]

if not TYPE_CHECKING:
    for _name in __all__[1:]:
        try:
            globals()[_name] = importlib.import_module(f"{__name__}.{'pure.' if PURE else ''}{_name}")
        except ModuleNotFoundError as error:
            if PURE or not (error.name or "").startswith(__name__):
                raise
            raise ModuleNotFoundError(
                f"{error.name} is not built: run `make build`, or set HELIOGRAPH_PURE=1 for the slow twins",
                name=error.name,
            ) from error
