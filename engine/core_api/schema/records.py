"""Delivery records, page by page, for whoever writes them into a file."""

from datetime import datetime
from uuid import UUID

import msgspec

from engine.core_api.schema.base import Struct

__all__ = ["DeliveryRecord", "DeliveryRecords"]


class DeliveryRecord(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One message as it stands. On the wire an array in this order: there are millions of them."""

    message_id: UUID
    msisdn: str  # E.164 digits; empty: erased
    channel: str
    state: str
    parts: int
    attempts: int
    cost: int  # of the accepted parts, 1/10,000 of the unit
    created_at: datetime  # when it was given out to be sent
    sent_at: datetime | None
    done_at: datetime | None
    error: str


class DeliveryRecords(Struct, frozen=True, kw_only=True):
    """`next`: where the next page begins; None: that was the last."""

    records: list[DeliveryRecord]
    next: str | None
