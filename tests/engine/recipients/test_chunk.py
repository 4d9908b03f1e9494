from array import array

import pyarrow as pa
import pytest

from engine._fast import text
from engine.recipients.chunk import (
    chunk_schema,
    columns_of,
    msisdn_of,
    read_chunk,
    read_numbers,
    upload_digest,
    write_chunk,
)


def batch(rows: int = 3) -> pa.RecordBatch:
    names = [f"Zoë {i}" if i % 2 else "" for i in range(rows)]
    return pa.RecordBatch.from_arrays(
        [pa.array(range(447911000000, 447911000000 + rows), pa.int64()), pa.array(names, pa.string())],
        schema=chunk_schema(["name"]),
    )


def test_a_chunk_is_read_back():
    data = write_chunk(batch())
    found = read_chunk(data)
    assert found.equals(batch())
    assert msisdn_of(found).tolist() == [447911000000, 447911000001, 447911000002]
    assert read_numbers(data).tolist() == msisdn_of(found).tolist()


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_a_chunk_is_written_with_lz4_and_read_with_either_codec(codec):
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_stream(sink, batch().schema, options=options) as stream:
        stream.write_batch(batch())
    data = sink.getvalue()
    assert read_chunk(data).equals(batch())
    assert read_numbers(data).tolist() == read_numbers(write_chunk(batch())).tolist()
    assert (data == write_chunk(batch())) == (codec == "lz4")


@pytest.mark.parametrize("found", [batch(), read_chunk(write_chunk(batch())), batch(5).slice(1, 3)])
def test_columns_are_what_templates_take(found):
    ((offsets, data),) = columns_of(found, ["name"])
    values = [bytes(data[offsets[i] : offsets[i + 1]]).decode() for i in range(3)]
    assert values == found.column(1).to_pylist()
    assert len(offsets) == 4
    rendered, ends = text.render(text.Template([b"Hi ", 0]), [(offsets, data)], array("i", range(3)))
    assert bytes(rendered[: ends[0]]).decode() == f"Hi {values[0]}"


def test_a_column_of_empty_strings_has_its_buffers():
    empty = pa.RecordBatch.from_arrays([pa.array([1, 2]), pa.array(["", ""])], schema=chunk_schema(["name"]))
    ((offsets, data),) = columns_of(read_chunk(write_chunk(empty)), ["name"])
    assert (offsets.tolist(), bytes(data)) == ([0, 0, 0], b"")


def test_an_unknown_column_is_refused():
    with pytest.raises(KeyError, match="city"):
        columns_of(batch(), ["city"])


@pytest.mark.parametrize("rows", [0, 65537])
def test_chunks_have_one_row_to_65536(rows):
    with pytest.raises(ValueError, match="65536"):
        write_chunk(batch(rows))


def test_the_upload_digest_depends_on_order():
    assert upload_digest([b"a", b"b"]) != upload_digest([b"b", b"a"])
