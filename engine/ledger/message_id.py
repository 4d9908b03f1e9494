"""A message id is a UUID (version 8, RFC 9562 §5.8) that holds slice and row: no look-up is needed.

60 bits slice id (48 before the version, 12 after it), 30 bits check, 32 bits row. Ids sort by slice, so
in time.
"""

from uuid import UUID

_SLICE_MAX = 1 << 60
_ROW_MAX = 1 << 32
_CHECK_MASK = (1 << 30) - 1


def message_id(slice_id: int, row: int) -> UUID:
    """The id of a message. Raises ValueError where slice or row do not fit."""
    if not (0 <= slice_id < _SLICE_MAX and 0 <= row < _ROW_MAX):
        raise ValueError(f"no message can be slice {slice_id} row {row}")
    high, low = slice_id >> 12, slice_id & 0xFFF
    return UUID(int=high << 80 | 8 << 76 | low << 64 | 2 << 62 | _check(slice_id, row) << 32 | row)


def slice_and_row(identifier: UUID) -> tuple[int, int]:
    """Slice id and row of a message id. Raises ValueError for an id that is not one of ours."""
    value = identifier.int
    slice_id = (value >> 80) << 12 | (value >> 64 & 0xFFF)
    row = value & 0xFFFFFFFF
    if identifier.version != 8 or (value >> 32) & _CHECK_MASK != _check(slice_id, row):
        raise ValueError(f"{identifier} is not a message id")
    return slice_id, row


def _check(slice_id: int, row: int) -> int:
    """30 bits against typing errors and foreign UUIDs; no secret."""
    return (((slice_id ^ (row << 20)) * 0x9E3779B97F4A7C15) >> 31) & _CHECK_MASK
