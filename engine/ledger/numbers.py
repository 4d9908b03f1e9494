"""Recipients' numbers of rows that have no submission yet: they stand only in the chunk."""

from array import array
from collections.abc import Collection

import pyarrow as pa

from engine.ledger.errors import NotFound
from engine.ledger.pool import Connection
from engine.ledger.retries import unpack
from engine.ledger.sql import load


async def numbers(connection: Connection, slice_id: int, rows: Collection[int]) -> dict[int, int]:
    """msisdn by row of an origin slice, 0 where it was erased. Raises NotFound where the chunk is gone."""
    if not rows:
        return {}
    found = await connection.fetchrow(load("doubts")["chunk"], slice_id)
    if found is None or found["data"] is None:
        raise NotFound(f"the recipients of slice {slice_id} are gone")
    with pa.ipc.open_stream(pa.py_buffer(found["data"])) as stream:
        column = stream.read_all().column("msisdn")
    order = permutation(found["permutation"])
    places = {row: found["row_start"] + row for row in rows}
    return {row: column[order[at] if order else at].as_py() for row, at in places.items()}


def permutation(stored: bytes | None) -> "array[int] | None":
    """A chunk's rows in the order of its campaign's legs ('i'); None: as they are."""
    return None if stored is None else unpack("i", stored)
