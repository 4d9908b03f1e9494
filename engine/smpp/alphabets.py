"""Which forms a channel's messages may take, from what its operator takes and the campaign wants."""

from collections.abc import Sequence
from typing import Literal

from engine._fast import forms
from engine._fast import repertoire as fast
from engine._fast.forms import Form
from engine._fast.transliteration import TRANSLITERATION

Alphabet = Literal["gsm_unpacked", "gsm_packed", "ia5", "latin1"]
Rule = Literal["transliterate", "ucs2", "reject"]
Splitting = Literal["udh8", "udh16", "sar", "payload"]

RULES: dict[str, int] = {
    "ucs2": forms.RULE_UCS2,
    "transliterate": forms.RULE_TRANSLITERATE,
    "reject": forms.RULE_REJECT,
}
SPLITTINGS: dict[str, int] = {
    "udh8": forms.UDH8,
    "udh16": forms.UDH16,
    "sar": forms.SAR,
    "payload": forms.PAYLOAD,
}
# Message class 0 (TS 23.038 §4); 0xF0 where GSM is flagged in the group of 0xF1.
FLASH = {0: 0x10, 0xF1: 0xF0}
FLASH_UCS2 = 0x18


def channel_forms(
    *,
    default_alphabet: Alphabet = "gsm_unpacked",
    gsm_data_coding: int = 0,
    latin1_characters: int = 0,
    single_shift: Sequence[str] = (),
    locking_shift: Sequence[str] = (),
    flash: bool = False,
) -> list[Form]:
    """The default alphabet, Latin-1, UCS-2, then the national tables: single shift, locking, both of a
    language. Latin-1 has no message class, so a flash message does without.

    Raises ValueError for national tables, or GSM flagged, beside a default alphabet that is not GSM.
    """
    gsm = default_alphabet in ("gsm_unpacked", "gsm_packed")
    if not gsm and (single_shift or locking_shift or gsm_data_coding):
        raise ValueError(
            f"national tables and data_coding 0xF1 are GSM, the default alphabet is {default_alphabet}"
        )
    coding = FLASH[gsm_data_coding] if flash else gsm_data_coding
    packed = default_alphabet == "gsm_packed"
    if gsm:
        found = [forms.gsm(coding, packed=packed)]
    else:
        found = [forms.ia5(coding) if default_alphabet == "ia5" else forms.latin1(coding, as_septets=True)]
    if latin1_characters and not flash:
        found.append(forms.latin1(as_septets=latin1_characters == 160))
    found.append(forms.ucs2(FLASH_UCS2 if flash else 8))
    tables = [("", language) for language in single_shift] + [(language, "") for language in locking_shift]
    tables += [(language, language) for language in locking_shift if language in single_shift]
    for locking, shift in tables:
        found.append(forms.national(coding, locking=locking, shift=shift, packed=packed))
    return found


def repertoire(
    found: Sequence[Form], *, rule: Rule = "ucs2", splitting: Splitting = "udh8"
) -> fast.Repertoire:
    """The forms under the campaign's rule for characters outside, split as the channel wants."""
    kept = [form for form in found if form.family != forms.UTF16] if rule == "reject" else found
    return fast.Repertoire(
        kept, rule=RULES[rule], splitting=SPLITTINGS[splitting], transliteration=TRANSLITERATION
    )


def plain(found: Sequence[Form], rule: Rule, splitting: Splitting) -> bool:
    """Whether the encoder can do without a repertoire: unpacked GSM or UCS-2, 8-bit headers."""
    return (
        len(found) == 2
        and found[0].name == "gsm"
        and not found[0].packed
        and (rule, splitting) == ("ucs2", "udh8")
    )
