"""A campaign's encoder: the channel's message settings and the campaign's options, made into submit_sm."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from engine._fast import pdu, text
from engine._fast.columns import EncodedBatch
from engine._fast.forms import Form
from engine.channels.described import convert
from engine.channels.interface import BadSettings, Encoder
from engine.channels.message_settings import MessageSettings
from engine.core_api.schema import NO_OPTIONS, MessageOptions
from engine.smpp import alphabets, dlt, validity
from engine.smpp.text import MalformedTemplate, UnknownColumn, compile_template

if TYPE_CHECKING:
    from engine._fast.repertoire import Repertoire
    from engine._fast.text import Column

log = structlog.get_logger(__name__)

_ALPHANUMERIC_MAX = 11
_SERVICE_TYPE_MAX = 5


def source_address(sender: str, settings: MessageSettings) -> tuple[bytes, int, int]:
    """(address, TON, NPI) of a sender: international number, short code, or up to 11 characters.

    Raises BadSettings for one that no submit_sm can carry.
    """
    digits = sender.removeprefix("+")
    if digits.isascii() and digits.isdigit():
        if len(digits) <= settings.short_code_digits and digits == sender:
            return digits.encode(), settings.short_code_ton, settings.short_code_npi
        if len(digits) > 15:
            raise BadSettings(f"sender {sender!r} has more than 15 digits")
        return digits.encode(), settings.international_ton, settings.international_npi
    if not sender or len(sender) > _ALPHANUMERIC_MAX or not (sender.isascii() and sender.isprintable()):
        raise BadSettings(f"sender {sender!r} is not 1 to {_ALPHANUMERIC_MAX} plain characters")
    return sender.encode(), settings.alphanumeric_ton, settings.alphanumeric_npi


class AbsoluteValidity:
    """An encoder whose validity_period is a moment: written anew for every batch."""

    def __init__(self, encoder: pdu.SubmitEncoder, validity_s: int, clock: Callable[[], float]) -> None:
        self._encoder = encoder
        self._validity_s = validity_s
        self._clock = clock

    def encode(
        self,
        msisdn: Any,
        columns: Sequence[Column],
        rows: array[int],
        row_base: int,
        slice_id: int,
        first_sequence: int,
        row_ids: array[int] | None = None,
    ) -> EncodedBatch:
        now = datetime.fromtimestamp(self._clock(), UTC)
        self._encoder.validity_period = validity.validity_period("absolute", self._validity_s, now)
        return self._encoder.encode(msisdn, columns, rows, row_base, slice_id, first_sequence, row_ids)


def message_encoder(
    settings: dict[str, Any],
    *,
    text: str,
    sender: str,
    columns: Sequence[str],
    options: MessageOptions = NO_OPTIONS,
    clock: Callable[[], float] = time.time,
) -> Encoder:
    """See `engine.channels.interface.Channel.encoder`. `clock` gives Unix seconds."""
    chosen = convert(settings, MessageSettings)
    source, ton, npi = source_address(sender, chosen)
    if len(chosen.service_type) > _SERVICE_TYPE_MAX:
        log.warning("service_type is longer than the specification allows", service_type=chosen.service_type)
    forms = forms_of(chosen, options)
    plain = alphabets.plain(forms, options.charset_rule, chosen.splitting)
    gsm, ucs2 = forms[0], next(form for form in forms if form.table is None)
    validity_s = options.validity_s or chosen.validity_s or None
    fixed = options.validity_s is None and chosen.validity_period
    period = chosen.validity_period.encode("ascii") if fixed else b""
    if not fixed and chosen.validity_mode == "relative":
        period = validity.validity_period("relative", validity_s, datetime.now(UTC))
    encoder = pdu.SubmitEncoder(
        template=_template(text, columns),
        source=source,
        source_ton=ton,
        source_npi=npi,
        dest_ton=chosen.dest_ton,
        dest_npi=chosen.dest_npi,
        service_type=chosen.service_type.encode("ascii"),
        protocol_id=chosen.protocol_id,
        priority=chosen.priority,
        registered_delivery=chosen.registered_delivery,
        validity_period=period,
        max_parts=chosen.max_parts,
        gsm_data_coding=gsm.data_coding,
        ucs2_data_coding=ucs2.data_coding,
        repertoire=None if plain else repertoire_of(chosen, options),
        tlvs=dlt_tlvs(chosen, options),
    )
    if fixed or validity_s is None or chosen.validity_mode != "absolute":
        return encoder
    return AbsoluteValidity(encoder, validity_s, clock)


def forms_of(settings: MessageSettings, options: MessageOptions) -> list[Form]:
    """The forms a campaign's messages may take on a channel. Raises BadSettings."""
    try:
        return alphabets.channel_forms(
            default_alphabet=settings.default_alphabet,
            gsm_data_coding=settings.gsm_data_coding,
            latin1_characters=settings.latin1_characters,
            single_shift=settings.national_single_shift,
            locking_shift=settings.national_locking_shift,
            flash=options.flash,
        )
    except ValueError as error:
        raise BadSettings(str(error)) from error


def repertoire_of(settings: MessageSettings, options: MessageOptions) -> Repertoire:
    """What decides each message's form and parts. Raises BadSettings."""
    return alphabets.repertoire(
        forms_of(settings, options), rule=options.charset_rule, splitting=settings.splitting
    )


def dlt_tlvs(settings: MessageSettings, options: MessageOptions) -> bytes:
    """The DLT TLVs of every part. Raises BadSettings."""
    try:
        return dlt.tlvs(
            options.dlt_pe_id,
            options.dlt_template_id,
            telemarketers=settings.dlt_telemarketers,
            chain=settings.dlt_chain,
            required=settings.dlt_required,
            tags=(settings.dlt_pe_tag, settings.dlt_template_tag, settings.dlt_chain_tag),
            final_nul=settings.dlt_type == "c_octet_string",
        )
    except dlt.BadDlt as error:
        raise BadSettings(str(error)) from error


def _template(template: str, columns: Sequence[str]) -> text.Template:
    try:
        return text.Template(compile_template(template, columns))
    except (UnknownColumn, MalformedTemplate) as error:
        raise BadSettings(str(error)) from error
