"""System calls a message, counted by strace over two short rounds of different length.

Both rounds are a process of their own, so that imports and connecting fall out of the difference. A traced
process wakes up more slowly: above the smallest windows it does more at a wake-up than it does untraced.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TIMEOUT_S = 120.0


def syscalls_a_unit(scenario: str, port: int, window: int, rtt_ms: float = 0.0) -> dict[str, float]:
    """{"syscalls": ...} of one PDU of `scenario.our_round`; {} where strace is missing or may not trace."""
    if shutil.which("strace") is None:
        return {}
    few = max(2_000, 4 * window) if not rtt_ms else 4 * window
    try:
        first, second = (_traced(scenario, port, count, window) for count in (few, 5 * few))
    except (subprocess.SubprocessError, ValueError):
        return {}
    return {"syscalls": (second - first) / (4 * few)}


def _traced(scenario: str, port: int, count: int, window: int) -> int:
    code = (
        "from bench.quiet import log_warnings_only; log_warnings_only();"
        f"from {scenario} import BATCH_ROWS, messages, our_round;"
        f"our_round({port}, {count}, messages(BATCH_ROWS), {window})"
    )
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary"
        command = ["strace", "-c", "-f", "-o", str(summary), sys.executable, "-c", code]
        subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
        return _total(summary.read_text())


def _total(summary: str) -> int:
    """The calls of strace's last line: `100.00  0.001  2  1234  [errors] total`."""
    for line in reversed(summary.splitlines()):
        words = line.split()
        if words and words[-1] == "total":
            return int(words[3])
    raise ValueError("no total in what strace wrote")
