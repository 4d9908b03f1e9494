"""The receipt journal: what append returned for survives any crash; a torn end was never acknowledged."""

import os
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._fast.columns import ReceiptBatch
from engine.ledger import journal as journal_module
from engine.ledger.journal import Entry, Journal, JournalFull, JournalUnusable
from engine.ledger.rows import completed

MOST = 1 << 20


def entry(*ids: bytes, account_id: int = 1, commit: int = 0) -> Entry:
    batch = ReceiptBatch(count=len(ids), verdict=array("b", [2] * len(ids)))
    for id_ in ids:
        batch.ids += id_
        batch.id_end.append(len(batch.ids))
    return Entry(account_id, 1_790_000_000_000_000, completed(batch), 7 if commit else 0, commit)


async def everything(journal: Journal) -> list[tuple[int, bytes]]:
    found = []
    while records := await journal.take(3):
        found += [(record.number, bytes(record.entry.receipts.ids)) for record in records]
    return found


async def test_what_was_appended_is_taken_in_order_also_by_the_next_process(tmp_path):
    journal = await Journal.open(tmp_path, MOST)
    assert (journal.journal_id, journal.drained, journal.waiting) == (None, True, 0)
    await journal.append([entry(b"a", b"b"), entry(b"c", account_id=2, commit=9)])
    await journal.append([entry(b"d")])
    again = await Journal.open(tmp_path, MOST)
    assert (again.journal_id, again.waiting, again.drained) == (journal.journal_id, 4, False)
    records = await again.take(100)
    assert [record.entry for record in records] == [
        entry(b"a", b"b"), entry(b"c", account_id=2, commit=9), entry(b"d"),
    ]  # fmt: skip
    assert again.drained
    await again.append([entry(b"e")])
    assert await everything(again) == [(4, b"e")]
    again.discard()
    assert not again.path.exists()
    assert (await Journal.open(tmp_path, MOST)).drained


async def test_above_the_cap_nothing_is_written_and_what_is_there_stays(tmp_path):
    journal = await Journal.open(tmp_path, 2000)
    await journal.append([entry(b"kept")])
    with pytest.raises(JournalFull):
        await journal.append([entry(b"x" * 2000)])
    await journal.append([entry(b"also")])
    assert await everything(await Journal.open(tmp_path, 2000)) == [(1, b"kept"), (2, b"also")]


async def test_a_full_disk_refuses_and_leaves_no_half_record(tmp_path, monkeypatch):
    journal = await Journal.open(tmp_path, MOST)
    await journal.append([entry(b"kept")])
    real = os.fdatasync

    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(JournalFull, match="No space"):
        await journal.append([entry(b"lost")])
    monkeypatch.setattr(os, "fdatasync", real)
    await journal.append([entry(b"later")])
    assert await everything(await Journal.open(tmp_path, MOST)) == [(1, b"kept"), (2, b"later")]


@given(keep=st.integers(0, 10_000), noise=st.binary(max_size=40))
async def test_a_torn_end_is_cut_off_and_no_whole_record_is_lost(tmp_path_factory, keep, noise):
    folder = tmp_path_factory.mktemp("torn")
    journal = await Journal.open(folder, MOST)
    ends = []
    for number in range(6):
        await journal.append([entry(b"%d" % number * 7)])
        ends.append(journal.bytes)
    octets = journal.path.read_bytes()
    keep = keep % (len(octets) + 1)
    journal.path.write_bytes(octets[:keep] + noise)
    if 0 < keep < 28 or (keep == 0 and len(noise) >= 28):
        return  # the head itself: made before anything was acknowledged
    again = await Journal.open(folder, MOST)
    whole = [(i + 1, b"%d" % i * 7) for i in range(6) if ends[i] <= keep]
    assert await everything(again) == whole
    await again.append([entry(b"new")])
    assert (await everything(await Journal.open(folder, MOST)))[-1] == (len(whole) + 1, b"new")


@given(st.data())
async def test_a_damaged_stretch_costs_its_records_alone(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    journal = await Journal.open(folder, MOST)
    starts = []
    for number in range(5):
        starts.append(journal.bytes or 28)
        await journal.append([entry(b"%d" % number * 9)])
    hurt = data.draw(st.integers(0, 3))
    octets = bytearray(journal.path.read_bytes())
    at = data.draw(st.integers(starts[hurt], starts[hurt + 1] - 1))
    octets[at] ^= data.draw(st.integers(1, 255))
    journal.path.write_bytes(octets)
    again = await Journal.open(folder, MOST)
    assert await everything(again) == [(i + 1, b"%d" % i * 9) for i in range(5) if i != hurt]


@pytest.mark.parametrize("size", range(28))
async def test_a_journal_torn_while_it_was_made_is_none(tmp_path, size):
    journal = await Journal.open(tmp_path, MOST)
    await journal.append([entry(b"x")])
    journal.path.write_bytes(journal.path.read_bytes()[:size])
    again = await Journal.open(tmp_path, MOST)
    assert (again.journal_id, again.drained) == (None, True)
    await again.append([entry(b"y")])
    assert await everything(await Journal.open(tmp_path, MOST)) == [(1, b"y")]


async def test_another_file_in_its_place_is_refused(tmp_path):
    (tmp_path / journal_module.FILE).write_bytes(b"not a journal, but forty octets of text!")
    with pytest.raises(JournalUnusable, match="no receipt journal"):
        await Journal.open(tmp_path, MOST)
