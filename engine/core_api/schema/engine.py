"""How the engine is."""

from typing import Literal

from engine.core_api.schema.base import Struct
from engine.core_api.schema.receipts import ReceiptJournal

__all__ = ["Health", "Pulse"]


class Health(Struct, frozen=True, kw_only=True):
    status: Literal["ok", "starting", "stopping", "degraded"]
    version: str
    schema_version: int
    implementation: Literal["c", "pure"]
    worker: str
    reason: str = ""


class Pulse(Struct, frozen=True, kw_only=True):
    """The top bar's live pulse, and what Diagnostics shows."""

    status: str
    in_flight: int
    sent_per_s: float
    delivered_per_s: float
    binds_bound: int
    binds_total: int
    journal: ReceiptJournal = ReceiptJournal()  # of the engine that answers
