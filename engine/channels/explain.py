"""Why a text goes out as it does: its form and parts on a channel, what forced them, what else would cost."""

from __future__ import annotations

import unicodedata

from engine._fast import forms
from engine._fast.forms import Form
from engine._fast.pure.repertoire import cost, octets_in, pieces
from engine._fast.transliteration import TRANSLITERATION
from engine.channels.interface import BadSettings
from engine.channels.message_encoder import dlt_tlvs, forms_of
from engine.channels.message_settings import MessageSettings
from engine.core_api import schema
from engine.smpp import alphabets, dlt

MAX_CHARACTERS = 100_000
_SHOWN = 20  # characters that forced something, and places of each


def explain(
    text: str,
    settings: MessageSettings | None = None,
    options: schema.MessageOptions = schema.NO_OPTIONS,
) -> schema.TextExplanation:
    """How the text goes out under the channel's settings and the campaign's options.

    Raises BadSettings for settings that contradict each other, and for a text that is too long or holds a
    lone surrogate.
    """
    settings = settings or MessageSettings()
    if len(text) > MAX_CHARACTERS:
        raise BadSettings(f"a text of {len(text)} characters: at most {MAX_CHARACTERS} are explained")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadSettings("the text holds half a surrogate pair") from error
    found = forms_of(settings, options)
    chosen = alphabets.repertoire(found, rule=options.charset_rule, splitting=settings.splitting)
    written = chosen.write(text)
    outside = _outside(text, found[0])
    plain = "".join(TRANSLITERATION.get(c, c) if c in outside else c for c in text)
    offered = [_offer(form, text, settings) for form in found]
    if plain != text:
        offered.append(_offer(found[0], plain, settings, "transliterated"))
    if outside:
        without = "".join(c for c in text if c not in outside)
        offered.append(_offer(found[0], without, settings, "without these characters"))
    notes = _notes(settings, options, text)
    found_outside = [_forced(character, places) for character, places in list(outside.items())[:_SHOWN]]
    if written is None:
        return schema.TextExplanation(rejected=True, forced=found_outside, forms=offered, notes=notes)
    form, parts = written.form, len(written.pieces)
    room = form.several(chosen.splitting) if parts > 1 else form.single
    halves = 2 if form.family == forms.UTF16 else 1
    if parts > settings.max_parts:
        notes.append(f"{parts} parts are more than the channel allows ({settings.max_parts}): it is not sent")
    return schema.TextExplanation(
        encoding=form.name,
        data_coding=form.data_coding,
        parts=parts,
        pdus=1 if parts > 1 and settings.splitting == "payload" else parts,
        units=sum(cost(form, piece) for piece in written.pieces) // halves,
        room=room // halves,
        unit=_unit(form),
        sent=plain if written.transliterated else text,
        rejected=parts > settings.max_parts,
        transliterated=written.transliterated,
        forced=found_outside,
        forms=offered,
        notes=notes,
    )


def _outside(text: str, form: Form) -> dict[str, list[int]]:
    """Characters that the default alphabet lacks, with their places (from 0), the most frequent first."""
    assert form.table is not None
    found: dict[str, list[int]] = {}
    for place, character in enumerate(text):
        if character not in form.table:
            found.setdefault(character, []).append(place)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def _forced(character: str, places: list[int]) -> schema.TextForced:
    return schema.TextForced(
        character=character,
        code=f"U+{ord(character):04X}",
        name=unicodedata.name(character, "a character without a name"),
        count=len(places),
        positions=places[:_SHOWN],
        replacement=TRANSLITERATION.get(character),
    )


def _offer(form: Form, text: str, settings: MessageSettings, note: str = "") -> schema.TextForm:
    """What the text would take in one form, whatever the rule says."""
    octets, halves = octets_in(form, text), 2 if form.family == forms.UTF16 else 1
    split = pieces(form, text, alphabets.SPLITTINGS[settings.splitting])
    return schema.TextForm(
        encoding=f"{form.name}, {note}" if note else form.name,
        parts=None if split is None else len(split),
        units=None if octets is None else cost(form, octets) // halves,
        room=form.single // halves,
        unit=_unit(form),
    )


def _unit(form: Form) -> str:
    if form.family == forms.SEPTETS or form.as_septets:
        return "septets"
    return "characters" if form.family == forms.OCTETS else "UTF-16 units"


def _notes(settings: MessageSettings, options: schema.MessageOptions, text: str) -> list[str]:
    notes = []
    if not text:
        notes.append("an empty text is not sent")
    if settings.splitting == "payload":
        notes.append("several parts go out as one PDU, which the SMSC splits; charged by this count")
    if options.flash and settings.latin1_characters:
        notes.append("a flash message has no Latin-1")
    try:
        dlt_tlvs(settings, options)
    except BadSettings as error:
        notes.append(str(error))
    ids = (("principal entity", options.dlt_pe_id), ("template", options.dlt_template_id))
    notes += [
        f"the DLT id of the {what} has {len(value)} digits, {dlt.USUAL_DIGITS} are usual"
        for what, value in ids
        if value and len(value) != dlt.USUAL_DIGITS
    ]
    return notes
