"""Micro benches of encoding: `pytest bench/micro` (not part of the tests)."""

from typing import Any

import pytest

from bench.scenarios.messages import encoder, messages

ROWS = 1024


@pytest.mark.parametrize("pure", [False, True], ids=["c", "pure"])
def bench_encode_submit_sm(benchmark: Any, pure: bool) -> None:
    one, rows = encoder(pure=pure), messages(ROWS)
    batch = benchmark(one.encode, rows.msisdn, rows.columns, rows.rows, 0, 1, 1)
    assert batch.count == ROWS
    benchmark.extra_info["per_s"] = ROWS / benchmark.stats.stats.median
