"""Whatever the channel's settings: what a handset reads is what was written, or its transliteration."""

from array import array
from typing import Any

import pytest
from handset import read
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.transliteration import TRANSLITERATION
from engine.channels.described import convert
from engine.channels.interface import BadSettings
from engine.channels.message_encoder import forms_of, message_encoder
from engine.channels.message_settings import Language, LockingLanguage, MessageSettings
from engine.core_api.schema import MessageOptions
from engine.smpp import codec

LANGUAGES = list(Language.__args__)  # type: ignore[attr-defined]
LOCKING = list(LockingLanguage.__args__)  # type: ignore[attr-defined]
CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"])
SCRIPTS = [
    "abcxyz {}[]€^",
    "ğüşıöçĞÜŞİ",
    "áéíóúñ¿¡ç",
    "ãõâêôàÇ",
    "বাংলা ভাষা",
    "ગુજરાતી",
    "हिन्दी भाषा।",
    "ಕನ್ನಡ",
    "മലയാളം",
]
SCRIPTS += ["ଓଡ଼ିଆ", "ਪੰਜਾਬੀ", "தமிழ்", "తెలుగు", "اردو زبان", "Привет", "😀👍🏽", "“—…”"]
TEXTS = st.one_of(
    st.text(CHARACTERS, min_size=1, max_size=200),
    *(st.text(alphabet=f"{script} abc", min_size=1, max_size=400) for script in SCRIPTS),
)
SETTINGS = st.fixed_dictionaries(
    {
        "default_alphabet": st.sampled_from(["gsm_unpacked", "gsm_packed", "ia5", "latin1"]),
        "latin1_characters": st.sampled_from([0, 140, 160]),
        "splitting": st.sampled_from(["udh8", "udh16", "sar", "payload"]),
        "max_parts": st.just(255),
    },
    optional={
        "national_single_shift": st.lists(st.sampled_from(LANGUAGES), unique=True, max_size=3),
        "national_locking_shift": st.lists(st.sampled_from(LOCKING), unique=True, max_size=3),
    },
)
OPTIONS = st.builds(
    MessageOptions, charset_rule=st.sampled_from(["ucs2", "transliterate", "reject"]), flash=st.booleans()
)


@given(TEXTS, SETTINGS, OPTIONS)
def test_a_handset_reads_what_was_written(
    text: str, settings: dict[str, Any], options: MessageOptions
) -> None:
    try:
        encoder = message_encoder(settings, text="{{t}}", sender="Bank", columns=["t"], options=options)
    except BadSettings:
        assert settings["default_alphabet"] in ("ia5", "latin1")
        return
    utf8 = text.encode()
    batch = encoder.encode(
        array("q", [447_700_900_123]), [(array("i", [0, len(utf8)]), utf8)], array("i", [0]), 0, 1, 1
    )
    if not batch.count:
        assert options.charset_rule == "reject"
        return
    starts = [0, *batch.end][:-1]
    pdus = [codec.decode(bytes(batch.pdus[a:b])) for a, b in zip(starts, batch.end, strict=True)]
    assert all(pdu.fault is None and len(pdu.octets("short_message")) <= 254 for pdu in pdus)
    found = read(pdus[::-1], default_alphabet=settings["default_alphabet"])
    default = forms_of(convert(settings, MessageSettings), options)[0].table
    assert default is not None
    replaced = "".join(c if c in default else TRANSLITERATION.get(c, c) for c in text)
    assert found == text or (options.charset_rule == "transliterate" and found == replaced)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_cheaper_with_its_tables(language: str) -> None:
    words = {
        "turkish": "Şişli'de ığdır ", "spanish": "¿Está aquí? Sí, ú ", "portuguese": "Não há ações ã õ ",
        "bengali": "বাংলা ভাষা ", "gujarati": "ગુજરાતી ભાષા ", "hindi": "हिन्दी भाषा ", "kannada": "ಕನ್ನಡ ",
        "malayalam": "മലയാളം ", "oriya": "ଓଡିଆ ", "punjabi": "ਪੰਜਾਬੀ ", "tamil": "தமிழ் ", "telugu": "తెలుగు ",
        "urdu": "اردو زبان ",
    }[language]  # fmt: skip
    text = words * (130 // len(words))
    settings = {"national_single_shift": [language]}
    if language in LOCKING:
        settings["national_locking_shift"] = [language]
    counts = []
    for chosen in (settings, {}):
        encoder = message_encoder(chosen, text=text, sender="Bank", columns=[])
        batch = encoder.encode(array("q", [44]), [], array("i", [0]), 0, 1, 1)
        counts.append(batch.count)
    if language == "kannada":  # the specification's table lacks ಡ (U+0CA1)
        assert counts[0] == counts[1]
    else:
        assert counts == [1, 2]
