from array import array
from collections.abc import Sequence

from typing_extensions import Buffer

from engine._fast.line_block import LineBlock

def scan(
    data: Buffer,
    columns: int,
    separator: int,
    *,
    final: bool = False,
    in_long: bool = False,
    max_line: int = 65536,
) -> LineBlock: ...
def gather(pieces: Sequence[tuple[Buffer, Buffer]], keep: Buffer) -> tuple[array[int], bytearray]: ...
