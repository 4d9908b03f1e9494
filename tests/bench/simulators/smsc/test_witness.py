"""The witness file: what it counts, and what damage it bears."""

from pathlib import Path

import pytest

from bench.simulators.smsc import witness
from bench.simulators.smsc.witness import RECORD, NotAWitnessError, WitnessFile


def record(
    number: int, destination: bytes = b"4477", *, time_us: int = 5, ref: int = 0, part: int = 1
) -> bytes:
    return RECORD.pack(time_us, number, 99, ref, part, 2, 0, 0, 1, len(destination), b"A", destination)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "accepted.witness"


def write(path: Path, *batches: bytes) -> None:
    file = WitnessFile(path)
    for batch in batches:
        file.append(batch)
    file.close()


def test_an_empty_witness_counts_nothing(path: Path) -> None:
    write(path)
    assert witness.read(path) == witness.Counts(0, 0, 0, 0, None, None)


def test_the_same_part_again_is_a_duplicate_whatever_its_id_and_time(path: Path) -> None:
    write(path, record(1) + record(2, time_us=9), record(3, part=2), record(4, b"4478"), record(5, ref=7))
    counts = witness.read(path)
    assert (counts.parts, counts.duplicates, counts.messages, counts.destinations) == (5, 1, 3, 2)
    assert (counts.first_us, counts.last_us) == (5, 9)


def test_counting_in_several_passes_gives_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, *(record(n, b"%d" % (n % 40)) for n in range(100)))
    whole = witness.read(path)
    monkeypatch.setattr(witness, "_KEYS_AT_ONCE", 7)
    assert witness.read(path) == whole
    assert (whole.duplicates, whole.destinations) == (60, 40)


def test_a_torn_record_is_ignored_and_cut_off_at_the_next_start(path: Path) -> None:
    write(path, record(1), record(2, b"4478"))
    with path.open("ab") as file:
        file.write(record(3, b"4479")[:30])
    assert witness.read(path).parts == 2
    write(path, record(4, b"4480"))
    assert [one.destination for one in witness.records(path)] == ["4477", "4478", "4480"]


def test_records_come_back_as_they_were(path: Path) -> None:
    write(path, record(1, b"447700900001", time_us=77, ref=3, part=2))
    assert list(witness.records(path)) == [witness.Accepted(77, 1, 99, 3, 2, 2, 0, 0, "A", "447700900001")]


def test_another_kind_of_file_is_left_alone(path: Path) -> None:
    path.write_bytes(b"precious" * 20)
    with pytest.raises(NotAWitnessError):
        WitnessFile(path)
    with pytest.raises(NotAWitnessError):
        witness.read(path)
    assert path.read_bytes() == b"precious" * 20
