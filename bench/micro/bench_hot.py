"""Micro benches of the hot functions, C beside their twins: `make bench-micro` (not part of the tests)."""

from typing import Any

import pytest

from bench.deep.work import MESSAGES, WORK


@pytest.mark.parametrize("pure", [False, True], ids=["c", "pure"])
@pytest.mark.parametrize("name", WORK)
def bench_hot(benchmark: Any, name: str, pure: bool) -> None:
    benchmark(WORK[name](pure))
    benchmark.extra_info["messages_per_s"] = MESSAGES / benchmark.stats.stats.median
