"""Binary COPY streams. `engine._fast.pure.copyformat` says what the columns are."""

from collections.abc import Sequence
from typing import Any

def encode(columns: Sequence[tuple[Any, ...]], count: int) -> bytearray: ...
