import importlib
from array import array

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast import numbering
from engine._fast.pure import msisdn as pure

fast = importlib.import_module("engine._fast.msisdn")
COUNTRIES = ["", "GB", "US", "DE", "AT", "IT", "IN", "ID", "HU", "RU", "NG", "BR", "NO", "MX", "SG"]


@pytest.fixture(params=[pure, fast], ids=["pure", "c"])
def msisdn(request):
    return request.param


def column(texts: list[bytes]) -> tuple[bytes, array]:
    end, total = array("i"), 0
    for text in texts:
        total += len(text)
        end.append(total)
    return b"".join(texts), end


def one(module, text: str, country: str = "") -> tuple[int, int]:
    numbers, reasons = module.normalise(*column([text.encode()]), country)
    return numbers[0], reasons[0]


written = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "+",
                "00",
                "0",
                "(0)",
                "(",
                ")",
                "-",
                ".",
                "/",
                " ",
                "\t",
                "\u00a0",
                ".0",
                "x",
                "٣",
                "44",
                "7911",
            ]
        ),
        st.text("0123456789", min_size=1, max_size=9),
        st.text(max_size=2),
    ),
    max_size=7,
).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))
numeric = st.builds(
    lambda lead, rest: (lead + rest).encode(),
    st.sampled_from(["", "+", "00", "0"]),
    st.text("0123456789", max_size=17),
)


@given(
    st.lists(
        st.one_of(written, numeric, st.binary(max_size=8), st.text("0", max_size=90).map(str.encode)),
        max_size=12,
    ),
    st.sampled_from(COUNTRIES),
)
def test_c_equals_the_twin_on_hostile_text(texts, country):
    data, end = column(texts)
    assert fast.normalise(data, end, country) == pure.normalise(data, end, country)


MOBILE = {
    region: example
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    if (example := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
}


@pytest.mark.parametrize("region", MOBILE)
def test_every_countrys_example_mobile_number_is_read_however_it_is_written(msisdn, region):
    example = MOBILE[region]
    expected = int(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)[1:])
    international = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    assert one(msisdn, international) == (expected, 0)
    assert one(msisdn, f"00{expected}") == (expected, 0)
    assert one(msisdn, f"{expected}", region) == (expected, 0)
    assert one(msisdn, str(phonenumbers.national_significant_number(example)), region) == (expected, 0)


@pytest.mark.parametrize(
    ("text", "country", "number"),
    [
        ("07911 123456", "GB", 447911123456),
        ("+44 (0)7911-123456", "", 447911123456),
        ("+4407911123456", "", 447911123456),
        ("(07911) 123.456", "GB", 447911123456),
        ("447911123456.0", "", 447911123456),
        ("\u00a0+49 151 23456789 ", "GB", 4915123456789),
        ("628123456789", "ID", 628123456789),  # 12 digits could be a national number
        ("436641234567", "AT", 436641234567),
        ("0664/1234567", "AT", 436641234567),
        ("919876543210", "IN", 919876543210),
        ("(202) 555-0123", "US", 12025550123),
        ("1-202-555-0123", "US", 12025550123),
        ("06 1234 5678", "IT", 390612345678),  # the zero belongs to the number
        ("8 912 345-67-89", "RU", 79123456789),
        ("06 20 123 4567", "HU", 36201234567),
        ("55987654321", "BR", 5555987654321),  # area code 55
    ],
)
def test_numbers_as_people_write_them(msisdn, text, country, number):
    assert one(msisdn, text, country) == (number, 0)


@pytest.mark.parametrize(
    ("text", "country", "reason"),
    [
        ("", "GB", "EMPTY"),
        (" \t\u00a0", "", "EMPTY"),
        ("n/a", "", "NOT_A_NUMBER"),
        ("+", "", "NOT_A_NUMBER"),
        ("4.479E+11", "", "NOT_A_NUMBER"),
        ("44+7911123456", "", "NOT_A_NUMBER"),
        ("٠٧٩١١", "GB", "NOT_A_NUMBER"),
        ("12", "", "TOO_SHORT"),
        ("+4479", "", "TOO_SHORT"),
        ("0791", "GB", "TOO_SHORT"),
        ("+4479111234567", "", "TOO_LONG"),
        ("079111234567", "GB", "TOO_LONG"),
        ("9" * 500, "GB", "TOO_LONG"),
        ("+999123456", "", "UNKNOWN_COUNTRY_CODE"),
        ("07911123456", "", "UNKNOWN_COUNTRY_CODE"),
    ],
)
def test_what_is_no_number_gets_its_reason(msisdn, text, country, reason):
    assert one(msisdn, text, country) == (-1, getattr(msisdn, reason))


def test_nothing_longer_than_e164_comes_out(msisdn):
    for country in COUNTRIES[1:]:
        texts = [b"9" * size for size in range(30)] + [b"1" * size for size in range(30)]
        numbers, reasons = msisdn.normalise(*column(texts), country)
        assert all(number < 10**15 for number in numbers)
        assert all((number > 0) == (reason == 0) for number, reason in zip(numbers, reasons, strict=True))


def test_an_unknown_country_is_refused(msisdn):
    with pytest.raises(ValueError, match="unknown country"):
        msisdn.normalise(b"", array("i"), "XX")


@pytest.mark.parametrize("end", [[2, 1], [9]])
def test_ends_outside_the_data_are_refused(msisdn, end):
    with pytest.raises(ValueError, match="end"):
        msisdn.normalise(b"123", array("i", end), "")


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_leads_hold_every_example_number(region):
    plan = numbering.national(region)
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
        example = phonenumbers.example_number_for_type(region, kind)
        if example is not None:
            digits = phonenumbers.national_significant_number(example)
            assert plan.number_leads[int(digits[:3])] >> len(digits) & 1


def test_leads_read_the_patterns_of_the_metadata():
    found = numbering.leads(r"7(?:[1-37]\d|4(?:[0-2])?)\d{2,}|0{2}5")
    assert [i for i in range(1000) if found[i]] == [5, *range(710, 750), *range(770, 780)]
    assert found[5] == 1 << 3
    assert found[711] == sum(1 << length for length in range(4, 16))
