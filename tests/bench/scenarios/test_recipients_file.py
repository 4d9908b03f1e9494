import pytest

from bench.measure import Size
from bench.scenarios import ingest
from bench.scenarios.recipients_file import COUNTRIES, write_recipients


@pytest.mark.parametrize("country", sorted(COUNTRIES))
def test_the_counts_are_exact(tmp_path, country):
    path = tmp_path / "f.csv"
    expected = write_recipients(path, rows=5000, seed=1, country=country, bad_share=0.05, duplicate_share=0.1)
    assert (expected.rows, expected.accepted, expected.duplicates, expected.job_errors) == (
        5000,
        4250,
        500,
        250,
    )
    lines = path.read_bytes().split(b"\n")
    assert (len(lines), lines[-1]) == (5002, b"")
    assert path.stat().st_size == expected.size_bytes


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_recipients(tmp_path / name, rows=60_000, seed=seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_numbers_alone_and_wide_files(tmp_path):
    write_recipients(tmp_path / "n", rows=1000, seed=1, with_name=False, bad_share=0, duplicate_share=0)
    numbers = (tmp_path / "n").read_bytes().split()
    assert len(set(numbers)) == 1000
    assert all(number.startswith((b"+336", b"+337")) for number in numbers)
    expected = write_recipients(tmp_path / "w", rows=100, seed=1, filler_bytes=1000)
    assert expected.size_bytes > 90_000


def test_too_many_rows_for_a_country_are_refused(tmp_path):
    with pytest.raises(ValueError, match="different numbers"):
        write_recipients(tmp_path / "f", rows=52_000_000, seed=1, country="DE")


def test_eight_columns_of_about_a_hundred_bytes_a_line(tmp_path):
    expected = write_recipients(tmp_path / "f", rows=2000, seed=1, eight_columns=True)
    lines = (tmp_path / "f").read_bytes().splitlines()
    assert 95 < expected.size_bytes / expected.rows < 115
    assert (len(lines), lines[0].count(b",")) == (2001, 7)
    assert sum(line.count(b",") == 7 for line in lines) > 1980
    links = {line.rpartition(b",")[2] for line in lines}
    assert len(links) > 1950


@pytest.mark.system
def test_ingest_measures_both_shapes_beside_pyarrow_and_their_memory():
    found = ingest.run(Size(repeats=1, count=20_000))
    assert set(found.ratios) == {
        "ingest 1 column/pyarrow.csv 1 column",
        "ingest 8 columns/pyarrow.csv 8 columns",
    }
    assert all(spread.min > 0 for spread in found.ratios.values())
    for name in ingest.TARGETS:
        assert found.extra[f"{name} peak RSS MiB"] > 20
