"""What a campaign says of its messages beside text and sender; the channel's settings say the rest."""

from typing import Annotated, Literal

import msgspec

from engine.core_api.schema.base import Struct

__all__ = ["NO_OPTIONS", "CharsetRule", "MessageOptions"]

CharsetRule = Literal["transliterate", "ucs2", "reject"]

# Identifiers of the Indian registry are decimal digits; empty: none.
_DltId = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{0,30}$")]


class MessageOptions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sealed with the campaign. Encoded, only what is not the default appears: no options are `{}`."""

    charset_rule: CharsetRule = "ucs2"  # for a message with characters outside the channel's alphabets
    flash: bool = False  # shown at once and not stored (message class 0)
    dlt_pe_id: _DltId = ""  # India DLT: principal entity
    dlt_template_id: _DltId = ""  # India DLT: content template
    validity_s: Annotated[int, msgspec.Meta(ge=60, le=63 * 7 * 86_400)] | None = None  # None: the channel's


NO_OPTIONS = MessageOptions()
