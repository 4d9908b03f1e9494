"""`heliograph demo`: the whole path balances, on C and on the twins, one part a message and several."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.system, pytest.mark.slow]

PROMISED = {
    "rows",
    "accepted",
    "duplicates",
    "job_errors",
    "submissions",
    "parts",
    "delivered",
    "undelivered",
    "no_receipt",
    "failed",
    "in_doubt",
    "waiting",
    "witness_parts",
    "witness_duplicates",
    "balanced",
    "rate_per_s",
    "seconds",
    "peak_rss_bytes",
    "workers",
    "kills",
    "in_doubt_bound",
}


def run_demo(*options: str, pure: bool = False) -> dict[str, object]:
    ended = subprocess.run(
        [sys.executable, "-m", "control_plane.launcher.cli", "demo", "--json", *options],
        env={**os.environ, "HELIOGRAPH_PURE": "1" if pure else ""},
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    outcome: dict[str, object] = json.loads(ended.stdout)
    assert ended.returncode == 0, outcome["first_difference"]
    assert outcome["balanced"] is True
    return outcome


@pytest.mark.parametrize("pure", [False, True], ids=["c", "twins"])
def test_every_recipient_is_accounted_for(pure: bool) -> None:
    outcome = run_demo("--recipients", "2000" if pure else "50000", "--seed", "3", pure=pure)
    assert set(outcome) >= PROMISED
    assert outcome["witness_parts"] == outcome["parts"] == outcome["accepted"]
    assert outcome["witness_duplicates"] == outcome["in_doubt"] == outcome["waiting"] == 0
    assert outcome["undelivered"]


def test_long_texts_go_out_in_parts_and_balance() -> None:
    text = "Hello {{name}}, " + "this is a long message about your order. " * 6
    outcome = run_demo("--recipients", "3000", "--text", text)
    assert isinstance(outcome["accepted"], int)
    assert outcome["parts"] == outcome["witness_parts"]
    assert int(str(outcome["parts"])) >= 2 * outcome["accepted"]


def test_throttles_and_failures_are_counted_and_nothing_is_lost() -> None:
    smsc = "--receipt-share 1.0 --receipt-before-response 0.3 --throttle-share 0.01 --error 0x0B=0.05"
    outcome = run_demo("--recipients", "3000", "--smsc", smsc)
    assert outcome["failed"]
    assert outcome["witness_parts"] == outcome["parts"]


def test_two_workers_of_which_one_is_killed_lose_nothing_and_send_nothing_twice() -> None:
    outcome = run_demo(
        "--workers", "2", "--kill-one", "--recipients", "40000", "--tps", "8000", "--window", "200"
    )
    assert (outcome["workers"], outcome["kills"]) == (2, 1)
    assert outcome["witness_duplicates"] == outcome["waiting"] == 0
    found = {
        name: int(str(outcome[name])) for name in ("in_doubt", "in_doubt_bound", "parts", "witness_parts")
    }
    assert 0 <= found["in_doubt"] <= found["in_doubt_bound"] == 20_000
    assert found["parts"] <= found["witness_parts"] <= found["parts"] + found["in_doubt"]
