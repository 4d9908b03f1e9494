"""Micro benches of reading: `pytest bench/micro` (not part of the tests)."""

from typing import Any

import pytest

from bench.scenarios.messages import fast
from bench.scenarios.parse import peer_stream

MESSAGES = 256


@pytest.mark.parametrize("pure", [False, True], ids=["c", "pure"])
def bench_cut_a_receive_buffer(benchmark: Any, pure: bool) -> None:
    stream, pdu = peer_stream(MESSAGES), fast("pdu", pure=pure)
    parsed = benchmark(lambda: pdu.StreamParser().feed(stream))
    assert len(parsed.resp_sequence) == len(parsed.deliver_start) == MESSAGES


@pytest.mark.parametrize("pure", [False, True], ids=["c", "pure"])
def bench_read_receipts(benchmark: Any, pure: bool) -> None:
    parsed = fast("pdu", pure=pure).StreamParser().feed(peer_stream(MESSAGES))
    receipts = fast("receipts", pure=pure)
    batch = benchmark(receipts.parse, parsed.data, parsed.deliver_start, parsed.deliver_end)
    assert batch.verdict.count(2) == MESSAGES
