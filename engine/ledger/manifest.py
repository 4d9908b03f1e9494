"""The seal over what a moderator approves: canonical JSON and its SHA-256. The name is not part of it."""

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from engine.core_api.schema import NO_OPTIONS, MessageOptions


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that decides what goes out, to whom, as whom. A change of any field voids the approval."""

    campaign_id: UUID
    workspace_id: UUID
    upload_id: UUID
    upload_digest: bytes
    recipients: int
    text: str
    sender: str
    sender_revision_id: UUID
    channel_id: int | None
    channel: str  # "": by routes
    options: MessageOptions = NO_OPTIONS
    in_doubt: str = "hold"
    category: str = ""

    def body(self) -> bytes:
        """Canonical JSON: sorted keys, no white space, UTF-8; bytes as hex.

        Options stand in it only where they are not the defaults, so that older campaigns keep their hash.
        """
        sealed: dict[str, Any] = {
            "version": 1,
            "campaign_id": self.campaign_id,
            "workspace_id": self.workspace_id,
            "upload_id": self.upload_id,
            "upload_digest": self.upload_digest.hex(),
            "recipients": self.recipients,
            "text": self.text,
            "sender": self.sender,
            "sender_revision_id": self.sender_revision_id,
            "channel_id": self.channel_id,
            "channel": self.channel,
        }
        if self.options != NO_OPTIONS:
            sealed["options"] = self.options
        if self.in_doubt != "hold":
            sealed["in_doubt"] = self.in_doubt
        if self.category:
            sealed["category"] = self.category
        return msgspec.json.encode(sealed, order="deterministic")

    def hash(self) -> bytes:
        """SHA-256 of `body()`, 32 bytes."""
        return hashlib.sha256(self.body()).digest()
