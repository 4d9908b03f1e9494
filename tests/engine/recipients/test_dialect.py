import pytest

from engine.recipients.dialect import Dialect, UnusableFile, column_names, detect, fields

NUMBERS = ["+447911123456", "+447911123457", "+447911123458"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("header", [True, False])
def test_separator_line_end_bom_and_header(separator, line_end, bom, header):
    rows = [["Vorname", "Handy", "Stadt"]] if header else []
    rows += [["Zoë", number, "Köln"] for number in NUMBERS]
    data = bom + "".join(separator.join(row) + line_end for row in rows).encode()
    found = detect(data)
    assert (found.separator, found.has_header, found.msisdn_index) == (separator, header, 1)
    assert found.columns == (["vorname", "stadt"] if header else ["column_1", "column_3"])
    assert found.msisdn_column == ("handy" if header else "column_2")
    assert (found.encoding, found.start) == (("utf-8-sig", 3) if bom else ("utf-8", 0))


def test_bare_numbers_are_one_column_without_a_header():
    found = detect("\n".join(NUMBERS).encode())
    assert found == Dialect(encoding="utf-8", separator="", has_header=False, msisdn_column="column_1")


def test_bare_numbers_may_have_a_header():
    assert detect(b"phone\n+447911123456\n").has_header


def test_a_comma_in_a_few_lines_is_no_separator():
    assert detect(b"+447911123456\n+447911123457\nbad, line\n+447911123458\n").separator == ""


def test_commas_inside_quotes_do_not_hide_the_semicolon():
    found = detect(b'name;phone\n"a, b, c";+447911123456\n"d, e, f";+447911123457\n')
    assert (found.separator, found.columns, found.msisdn_index) == (";", ["name"], 1)


def test_the_named_column_wins_over_one_that_looks_like_numbers():
    data = "customer;phone\n" + "".join(f"4479111234{i:02};0791112345{i % 10}\n" for i in range(20))
    assert detect(data.encode(), "GB").msisdn_column == "phone"


def test_without_a_name_the_column_with_most_numbers_is_the_one():
    data = "a,b,c\n" + "".join(f"{i},x,+4479111234{i:02}\n" for i in range(20))
    assert detect(data.encode()).msisdn_index == 2


def test_a_cut_off_last_line_does_not_confuse():
    assert detect(b"name,phone,x\nA,+447911123456,1\nB,+4479").separator == ","


def test_a_bad_line_in_the_sample_does_not_confuse():
    found = detect(b'name,phone\nA,+447911123456\n"B,+447911123457\nC,1,2,3\nD\xff,+447911123458\n')
    assert (found.separator, found.msisdn_index, found.columns) == (",", 1, ["name"])


def test_column_names_are_plain_and_unique():
    assert column_names(["First Name", "first-name", "", "ÉTAGE №", "a" * 70, "__x__", "FIRST NAME"]) == [
        "first_name",
        "first_name_2",
        "column_3",
        "étage_no",
        "a" * 64,
        "x",
        "first_name_3",
    ]


def test_no_other_column_is_called_as_the_chunks_number():
    found = detect(b"phone,msisdn,phone\n+447911123456,x,y\n")
    assert (found.msisdn_column, found.columns) == ("phone", ["msisdn_2", "phone_2"])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"\xef\xbb\xbf\r\n\r\n", "empty_file"),
        ("phone\n".encode("utf-16"), "utf_16"),
        (b"PK\x03\x04rest of a workbook", "not_text"),
        (b",".join(b"c%d" % i for i in range(65)) + b"\n", "too_many_columns"),
        (b"name,city\nA,B\nC,D\n", "no_number_column"),
    ],
)
def test_files_that_cannot_be_read_say_why(data, code):
    with pytest.raises(UnusableFile) as caught:
        detect(data)
    assert caught.value.code == code
    assert caught.value.detail.endswith(".")


def test_sixty_four_columns_are_read():
    data = b",".join([b"phone", *(b"c%d" % i for i in range(63))]) + b"\n"
    assert len(detect(data).columns) == 63


def test_a_dialect_survives_the_way_through_json():
    found = detect(b"\xef\xbb\xbfname;phone\nA;+447911123456\n")
    assert Dialect.from_json(found.to_json()) == found


def test_fields_of_a_line():
    assert fields('"a ""b""",c', ",") == ['a "b"', "c"]
    assert fields('"open', ",") is None
    assert fields("a,b", "") == ["a,b"]
