"""Messages in every form: limits of the specification, nothing cut in two, the C code equal to its twin."""

import importlib
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast import forms
from engine._fast.columns import REJECT_CHARACTERS, REJECT_TOO_LONG
from engine._fast.national import IDENTIFIERS, LOCKING, SHIFT
from engine._fast.pure import pdu as pure_pdu
from engine._fast.pure import repertoire as pure
from engine._fast.pure import text as pure_text
from engine._fast.transliteration import TRANSLITERATION
from engine.smpp import codec

fast = importlib.import_module("engine._fast.repertoire")
fast_pdu = importlib.import_module("engine._fast.pdu")
fast_text = importlib.import_module("engine._fast.text")
both = pytest.mark.parametrize("module", [fast, pure], ids=["c", "twin"])
splittings = pytest.mark.parametrize("splitting", [forms.UDH8, forms.UDH16, forms.SAR, forms.PAYLOAD])

NATIONAL = [
    *(forms.national(shift=language) for language in SHIFT),
    *(forms.national(locking=language) for language in LOCKING),
    *(forms.national(locking=language, shift=language) for language in LOCKING),
]
TEXTS = st.one_of(
    st.text(max_size=400),
    st.text(alphabet="abc{}[€é \n", max_size=500),
    st.text(alphabet="abcğışİ ñáçØ'’“—Жя{", max_size=400),
    st.text(alphabet="नमस्ते दुनिया abc।", max_size=400),
    st.text(alphabet="a😀", max_size=300),
)


def form_strategy() -> st.SearchStrategy[list[forms.Form]]:
    first = st.one_of(
        st.builds(forms.gsm, st.sampled_from([0, 0xF1]), packed=st.booleans()),
        st.builds(forms.ia5),
        st.builds(forms.latin1, st.just(0), as_septets=st.booleans()),
    )
    others = st.lists(
        st.one_of(
            st.builds(forms.latin1, as_septets=st.booleans()),
            st.builds(
                lambda locking, shift, packed: forms.national(
                    locking=locking, shift=shift or "turkish", packed=packed
                ),
                st.sampled_from(["", *LOCKING]),
                st.sampled_from(["", *SHIFT]),
                st.booleans(),
            ),
        ),
        max_size=3,
    )
    return st.builds(lambda one, more: [one, *more], first, others)


def made(module: Any, chosen: list[forms.Form], rule: int, splitting: int) -> Any:
    if rule != forms.RULE_REJECT:
        chosen = [chosen[0], forms.ucs2(), *chosen[1:]]
    return module.Repertoire(chosen, rule=rule, splitting=splitting, transliteration=TRANSLITERATION)


@both
@pytest.mark.parametrize(
    ("form", "character", "single", "udh8", "udh16"),
    [
        (forms.gsm(), "a", 160, 153, 152),
        (forms.gsm(packed=True), "a", 160, 153, 152),
        (forms.ucs2(), "я", 70, 67, 66),
        (forms.latin1(), "a", 140, 134, 133),
        (forms.latin1(as_septets=True), "ê", 160, 153, 152),
        (forms.national(shift="turkish"), "a", 155, 149, 148),
        (forms.national(locking="turkish"), "a", 155, 149, 148),
        (forms.national(locking="turkish", shift="turkish"), "a", 152, 146, 145),
    ],
    ids=lambda value: value.name if isinstance(value, forms.Form) else None,
)
def test_a_form_holds_as_many_characters_as_the_specification_says(
    module: Any, form: forms.Form, character: str, single: int, udh8: int, udh16: int
) -> None:
    def parts(count: int, splitting: int) -> int:
        first = [form] if form.table is not None else [forms.gsm()]
        rule = forms.RULE_UCS2 if form.table is None else forms.RULE_REJECT
        chosen = [*first, form] if form.table is None else first
        written = module.Repertoire(chosen, rule=rule, splitting=splitting).write(character * count)
        return len(written.pieces)

    assert [parts(single, forms.UDH8), parts(single + 1, forms.UDH8)] == [1, 2]
    assert [parts(3 * udh8, forms.UDH8), parts(3 * udh8 + 1, forms.UDH8)] == [3, 4]
    assert [parts(3 * udh16, forms.UDH16), parts(3 * udh16 + 1, forms.UDH16)] == [3, 4]


@given(TEXTS, form_strategy(), st.integers(0, 2), st.integers(0, 3))
def test_the_c_repertoire_equals_its_twin(
    text: str, chosen: list[forms.Form], rule: int, splitting: int
) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert made(fast, chosen, rule, splitting).write(text) == made(pure, chosen, rule, splitting).write(text)


@given(st.binary(max_size=320).map(lambda octets: bytes(o & 0x7F for o in octets)), st.integers(0, 14))
def test_packed_septets_unpack_again(septets: bytes, header: int) -> None:
    packed = fast.pack(septets, header)
    assert packed == pure.pack(septets, header)
    back = pure.unpack(packed, header)
    assert back == septets or (septets.endswith(b"\r") and back == septets[:-1])


def test_packed_septets_are_those_of_the_specification() -> None:
    """The packing of 'hellohello', known from TS 23.038 tutorials octet by octet."""
    assert fast.pack(b"hellohello", 0) == bytes.fromhex("E8329BFD4697D9EC37")
    # after a header of 6 octets one fill bit: 'h' (0x68) << 1
    assert fast.pack(b"h", 6) == b"\xd0"


def test_seven_bits_left_over_are_filled_with_a_carriage_return() -> None:
    assert fast.pack(b"1234567", 0)[-1] >> 1 == 0x0D
    assert pure.unpack(fast.pack(b"1234567", 0), 0) == b"1234567"


@given(TEXTS, form_strategy(), st.integers(0, 2), st.sampled_from([forms.UDH8, forms.UDH16, forms.SAR]))
def test_no_part_splits_a_pair_or_overflows(
    text: str, chosen: list[forms.Form], rule: int, splitting: int
) -> None:
    written = made(pure, chosen, rule, splitting).write(text)
    if written is None or len(written.pieces) < 2:
        return
    form = written.form
    for number, piece in enumerate(written.pieces, 1):
        head = pure.header(form, splitting, 0xABCD, len(written.pieces), number)
        octets = pure.user_data(form, head, piece)
        assert 0 < len(octets) <= 254
        assert pure.cost(form, piece) <= form.several(splitting)
        if form.packed or form.family == forms.UTF16:
            assert len(octets) <= 140
        if form.family == forms.UTF16:
            piece.decode("utf-16-be")
        elif form.family == forms.SEPTETS:
            assert not piece.endswith(b"\x1b")


@both
def test_a_form_with_elements_is_not_split_by_the_smsc(module: Any) -> None:
    """SAR and message_payload never go with a user data header."""
    chosen = [forms.gsm(), forms.ucs2(), forms.national(shift="turkish")]
    one = module.Repertoire(chosen, splitting=forms.SAR)
    assert one.write("ş" + "a" * 140).form.name == "turkish shift"
    assert one.write("ş" + "a" * 200).form.name == "ucs2"


@both
def test_of_equal_parts_the_first_form_is_taken(module: Any) -> None:
    chosen = [forms.gsm(), forms.ucs2(), forms.national(shift="turkish")]
    one = module.Repertoire(chosen)
    assert one.write("a").form.name == "gsm"
    assert one.write("ş").form.name == "ucs2"
    assert one.write("ş" * 71).form.name == "turkish shift"


@both
def test_the_rule_decides_about_characters_outside(module: Any) -> None:
    rules = {
        "ucs2": made(module, [forms.gsm()], forms.RULE_UCS2, forms.UDH8),
        "transliterate": made(module, [forms.gsm()], forms.RULE_TRANSLITERATE, forms.UDH8),
        "reject": made(module, [forms.gsm()], forms.RULE_REJECT, forms.UDH8),
    }
    assert rules["ucs2"].write("Łódź").form.name == "ucs2"
    assert rules["transliterate"].write("Łódź — “ok”").pieces == (b'Lodz - "ok"',)
    assert rules["transliterate"].write("é…").pieces == (b"\x05...",)
    assert rules["transliterate"].write("Łódź 北").form.name == "ucs2"
    assert rules["transliterate"].write("Łódź 北").pieces == ("Łódź 北".encode("utf-16-be"),)
    assert rules["reject"].write("Łódź") is None
    assert rules["reject"].write("Lodz").form.name == "gsm"


@both
@pytest.mark.parametrize(
    ("chosen", "rule"),
    [
        ([], 0),
        ([forms.ucs2()], 0),
        ([forms.gsm()], 0),
        ([forms.gsm(), forms.ucs2()], 2),
        ([forms.gsm(), forms.ucs2(), forms.ucs2()], 0),
        ([forms.gsm(), forms.ucs2()], 3),
    ],
)
def test_a_repertoire_that_makes_no_sense_is_refused(
    module: Any, chosen: list[forms.Form], rule: int
) -> None:
    with pytest.raises(ValueError, match=r"alphabet|unknown rule"):
        module.Repertoire(chosen, rule=rule)


# submit_sm --------------------------------------------------------------------------------------------------


def encoder(pdu: Any, text: Any, repertoire: Any, template: list[bytes | int], **more: Any) -> Any:
    return pdu.SubmitEncoder(
        template=text.Template(template),
        source=b"Helio",
        source_ton=5,
        source_npi=0,
        repertoire=repertoire,
        **more,
    )


def columns_of(values: list[bytes]) -> tuple[array, bytes]:
    offsets = array("i", [0])
    for value in values:
        offsets.append(offsets[-1] + len(value))
    return offsets, b"".join(values)


def encoded(which: str, texts: list[bytes], repertoire: Any, **more: Any) -> Any:
    pdu, text = (fast_pdu, fast_text) if which == "c" else (pure_pdu, pure_text)
    ids = more.pop("row_ids", None)
    numbers, rows = array("q", range(4477, 4477 + len(texts))), array("i", range(len(texts)))
    one = encoder(pdu, text, repertoire, [b"Hi ", 0], **more)
    return one.encode(numbers, [columns_of(texts)], rows, 100, 7, 1, ids)


def comparable(batch: Any) -> dict[str, Any]:
    return {name: getattr(batch, name) for name in batch.__slots__}


@given(
    st.lists(
        st.one_of(TEXTS.filter(lambda t: t.isprintable()).map(str.encode), st.binary(max_size=300)),
        max_size=4,
    ),
    form_strategy(),
    st.integers(0, 2),
    st.integers(0, 3),
    st.integers(1, 6),
    st.binary(max_size=20),
)
def test_submit_sm_of_the_c_encoder_equals_its_twins(
    texts: list[bytes], chosen: list[forms.Form], rule: int, splitting: int, most: int, tlvs: bytes
) -> None:
    c = encoded("c", texts, made(fast, chosen, rule, splitting), max_parts=most, tlvs=tlvs)
    twin = encoded("twin", texts, made(pure, chosen, rule, splitting), max_parts=most, tlvs=tlvs)
    assert comparable(c) == comparable(twin)


def pdus_of(batch: Any) -> list[codec.Pdu]:
    starts = [0, *batch.end][:-1]
    return [codec.decode(bytes(batch.pdus[a:b])) for a, b in zip(starts, batch.end, strict=True)]


@pytest.mark.parametrize("which", ["c", "twin"])
def test_a_payload_is_one_pdu_charged_by_our_own_count(which: str) -> None:
    module = fast if which == "c" else pure
    texts = [b"short", b"x" * 400, b"\xd1\x8f" * 100, b"x" * 3000]
    one = made(module, [forms.gsm()], forms.RULE_UCS2, forms.PAYLOAD)
    batch = encoded(which, texts, one)
    assert list(batch.parts) == [1, 1, 1]
    assert list(batch.billed) == [1, 3, 2]
    assert list(batch.reject_code) == [REJECT_TOO_LONG]
    short, long, cyrillic = pdus_of(batch)
    assert short.octets("short_message") == b"Hi short"
    assert short.tlvs == ()
    assert long.octets("short_message") == b""
    assert dict(long.tlvs)[0x0424] == b"Hi " + b"x" * 400
    assert dict(cyrillic.tlvs)[0x0424] == ("Hi " + "я" * 100).encode("utf-16-be")


@pytest.mark.parametrize("which", ["c", "twin"])
def test_sar_tlvs_never_go_with_udhi(which: str) -> None:
    module = fast if which == "c" else pure
    batch = encoded(which, [b"x" * 400], made(module, [forms.gsm()], forms.RULE_UCS2, forms.SAR))
    parts = pdus_of(batch)
    reference = pure_pdu.part_reference(7, 100).to_bytes(2, "big")
    assert [(p.integer("esm_class"), *dict(p.tlvs).values()) for p in parts] == [
        (0, reference, b"\x03", bytes([n])) for n in (1, 2, 3)
    ]
    assert b"".join(p.octets("short_message") for p in parts) == b"Hi " + b"x" * 400


@pytest.mark.parametrize("which", ["c", "twin"])
def test_a_16_bit_header_has_its_reference_and_udhi(which: str) -> None:
    module = fast if which == "c" else pure
    batch = encoded(which, [b"x" * 400], made(module, [forms.gsm()], forms.RULE_UCS2, forms.UDH16))
    reference = pure_pdu.part_reference(7, 100).to_bytes(2, "big")
    for number, part in enumerate(pdus_of(batch), 1):
        assert part.integer("esm_class") == 0x40
        assert part.octets("short_message")[:7] == b"\x06\x08\x04" + reference + bytes([3, number])


@pytest.mark.parametrize("which", ["c", "twin"])
def test_a_national_message_names_its_tables_in_every_part(which: str) -> None:
    module = fast if which == "c" else pure
    form = forms.national(locking="turkish", shift="turkish")
    one = module.Repertoire([form], rule=forms.RULE_REJECT)
    single, *several = pdus_of(encoded(which, ["ığ".encode(), b"x" * 200], one))
    assert single.octets("short_message") == bytes.fromhex("06 240101 250101") + b"Hi \x07\x0c"
    assert single.integer("esm_class") == 0x40
    reference = pure_pdu.part_reference(7, 101) & 0xFF
    assert [part.octets("short_message")[:12] for part in several] == [
        bytes([11, 0, 3, reference, 2, number, 0x24, 1, 1, 0x25, 1, 1]) for number in (1, 2)
    ]


@pytest.mark.parametrize("which", ["c", "twin"])
def test_rejected_characters_are_said(which: str) -> None:
    module = fast if which == "c" else pure
    batch = encoded(which, [b"ok", "я".encode()], made(module, [forms.gsm()], forms.RULE_REJECT, forms.UDH8))
    assert (list(batch.row), list(batch.rejected), list(batch.reject_code)) == (
        [100],
        [101],
        [REJECT_CHARACTERS],
    )


@pytest.mark.parametrize("which", ["c", "twin"])
def test_a_retry_keeps_the_reference_of_its_origin(which: str) -> None:
    first = encoded(which, [b"x" * 200, b"y" * 200], None)
    again = encoded(which, [b"y" * 200], None, row_ids=array("i", [101]))
    assert list(again.row) == [100, 100]
    assert [p.octets("short_message") for p in pdus_of(again)] == [
        p.octets("short_message") for p in pdus_of(first)[2:]
    ]
    with pytest.raises(ValueError, match="shorter"):
        encoded(which, [b"x", b"y"], None, row_ids=array("i", [1]))


@pytest.mark.parametrize("which", ["c", "twin"])
def test_what_charges_several_parts_keeps_its_price_when_it_is_taken_again(which: str) -> None:
    module, pdu = (fast, fast_pdu) if which == "c" else (pure, pure_pdu)
    batch = encoded(
        which, [b"short", b"x" * 400], made(module, [forms.gsm()], forms.RULE_UCS2, forms.PAYLOAD)
    )
    assert list(pdu.take(batch, array("i", [1, 0]), 9).billed) == [3, 1]
    assert pdu.take(encoded(which, [b"a"], None), array("i", [0]), 9).billed is None


@pytest.mark.parametrize("which", ["c", "twin"])
def test_the_validity_period_may_change_between_batches(which: str) -> None:
    pdu, text = (fast_pdu, fast_text) if which == "c" else (pure_pdu, pure_text)
    one = encoder(pdu, text, None, [b"Hi"], validity_period=b"000001000000000R")
    one.validity_period = b"261122110000000+"
    (sent,) = pdus_of(one.encode(array("q", [44]), [], array("i", [0]), 0, 1, 1))
    assert sent.octets("validity_period") == one.validity_period == b"261122110000000+"
    assert sent.integer("registered_delivery") == 1
    with pytest.raises(ValueError, match="validity_period"):
        one.validity_period = b"1" * 17


# tables -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", NATIONAL, ids=lambda form: form.name)
def test_every_character_of_a_national_table_comes_back(form: forms.Form) -> None:
    assert form.table is not None
    language = form.name.split()[0]
    locked = (
        LOCKING[language]
        if "locking" in form.name
        else {v[0]: k for k, v in forms.gsm().table.items() if len(v) == 1}
    )
    shifted = (
        SHIFT[language]
        if "shift" in form.name
        else {v[1]: k for k, v in forms.gsm().table.items() if len(v) == 2}
    )
    for character, octets in form.table.items():
        if len(octets) == 2:
            assert octets[0] == 0x1B
            assert shifted[octets[1]] == character
        else:
            assert octets[0] != 0x1B
            assert locked[octets[0]] == character


@pytest.mark.parametrize("language", IDENTIFIERS)
def test_tables_fit_their_form(language: str) -> None:
    for table in (LOCKING.get(language, {}), SHIFT[language]):
        assert all(0 <= septet < 128 and septet != 0x1B for septet in table)
    assert {"^", "{", "}", "\\", "[", "~", "]", "|", "€"} <= set(SHIFT[language].values())


UTF8 = TEXTS.map(lambda text: text.encode("utf-8", "replace"))


@given(st.lists(UTF8, max_size=5), form_strategy(), st.integers(0, 2))
def test_a_count_in_a_repertoire_equals_its_twins(
    texts: list[bytes], chosen: list[forms.Form], rule: int
) -> None:
    rows, columns = array("i", range(len(texts))), [columns_of(texts)]
    c = fast_text.count(fast_text.Template([0]), columns, rows, made(fast, chosen, rule, forms.UDH8))
    twin = pure_text.count(pure_text.Template([0]), columns, rows, made(pure, chosen, rule, forms.UDH8))
    if len({form.name for form in chosen}) == len(chosen):
        assert comparable(c) == comparable(twin)
    assert sum(c.forms) + c.empty + c.rejected == c.messages == len(texts)
