"""A recipient file of any size, made while it is sent: one country's numbers, none twice."""

from collections.abc import Iterator

LINE_BYTES = 100
LINES_A_BLOCK = 2_500
STRIDE, RANGE = 7_919, 1_000_000_000  # coprime: the numbers are spread over the range without a repeat


def blocks(lines: int) -> Iterator[bytes]:
    """A recipient file of 100-octet lines, without a header, made as it is sent."""
    for first in range(0, lines, LINES_A_BLOCK):
        yield b"".join(line(i) for i in range(first, min(first + LINES_A_BLOCK, lines)))


def line(i: int) -> bytes:
    msisdn = b"447%09d" % (i * STRIDE % RANGE)
    start = b"%s,Recipient %08d,Rotherham,https://shop.example/o/%08d" % (msisdn, i, i)
    return start.ljust(LINE_BYTES - 1, b"x") + b"\n"
