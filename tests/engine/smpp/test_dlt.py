"""DLT TLVs: the chain's vector, types and tags, ids that no operator would take."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.smpp import dlt

PE, TEMPLATE, TELEMARKETER = "1101172974420810001", "1107161234567890123", "1101172974420830004"
# SHA-256 of "PE,TELEMARKETER", as the operators publish it.
HASH = "c0c951afca257c5b87c3da535c09112080483f35b7e6faf35e2428b3b526b694"


def read(octets: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(octets):
        tag, length = struct.unpack_from(">HH", octets, at)
        found.append((tag, octets[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def test_the_ids_are_octet_strings_without_nul() -> None:
    assert read(dlt.tlvs(PE, TEMPLATE)) == [(0x1400, PE.encode()), (0x1401, TEMPLATE.encode())]


def test_the_hashed_chain_is_that_of_the_vector() -> None:
    found = read(dlt.tlvs(PE, TEMPLATE, telemarketers=[TELEMARKETER], chain="sha256"))
    assert found[2] == (0x1402, HASH.encode())


def test_the_listed_chain_has_commas_and_no_spaces() -> None:
    found = read(dlt.tlvs(PE, TEMPLATE, telemarketers=[TELEMARKETER, "12"], chain="list"))
    assert found[2] == (0x1402, f"{PE},{TELEMARKETER},12".encode())


def test_tags_and_type_are_the_operators() -> None:
    found = read(dlt.tlvs(PE, TEMPLATE, tags=(0x1500, 0x1501, 0x1502), final_nul=True))
    assert found == [(0x1500, PE.encode() + b"\0"), (0x1501, TEMPLATE.encode() + b"\0")]


def test_no_ids_are_no_tlvs() -> None:
    assert dlt.tlvs("", "", telemarketers=[TELEMARKETER], chain="list") == b""


@pytest.mark.parametrize(
    ("pe_id", "template_id", "options"),
    [
        ("11011729A", TEMPLATE, {}),
        ("1" * 31, TEMPLATE, {}),
        ("١٢٣", TEMPLATE, {}),  # digits, but not ASCII
        (PE, "12 3", {}),
        ("", TEMPLATE, {}),
        (PE, "", {"required": True}),
        ("", "", {"required": True}),
        (PE, TEMPLATE, {"chain": "list"}),
        (PE, TEMPLATE, {"chain": "sha256", "telemarketers": ["x"]}),
    ],
)
def test_what_no_operator_would_take_is_refused(
    pe_id: str, template_id: str, options: dict[str, object]
) -> None:
    with pytest.raises(dlt.BadDlt):
        dlt.tlvs(pe_id, template_id, **options)


@given(st.from_regex(r"[0-9]{1,30}", fullmatch=True), st.text(alphabet="0123456789", max_size=30))
def test_what_is_written_is_read_again(pe_id: str, template_id: str) -> None:
    values = dict(read(dlt.tlvs(pe_id, template_id)))
    assert values[0x1400] == pe_id.encode()
    assert values.get(0x1401, b"") == template_id.encode()
