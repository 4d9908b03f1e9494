"""Every fuzz target, first steered by coverage, then under the sanitizers: `python run.py --minutes 10`.

GCC's sanitizer runtime brings coverage symbols of its own and hides libFuzzer's, so the two cannot work in
one process: atheris steers by the twins' coverage over the normal build and leaves a corpus, which then runs,
with changes, on the extensions built under AddressSanitizer and UndefinedBehaviorSanitizer. Exit code 1 where
one failed.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import sanitized

HERE = Path(__file__).parent
TARGETS = (
    "garbage",
    "receipt_text",
    "framing",
    "encode_decode",
    "texts",
    "lines",
    "numbers",
    "numberset",
    "window",
)
CORPUS = sanitized.ROOT / "build" / "fuzz"


def main():
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--minutes", type=float, default=10)
    reader.add_argument("--seed", type=int, default=1)
    options = reader.parse_args()
    environment = sanitized.build()
    seconds = max(1, round(options.minutes * 60 / len(TARGETS) / 2))
    failed = [one for one in TARGETS if not fuzz(one, seconds, options.seed, environment, CORPUS / one)]
    print(f"fuzzed {len(TARGETS)} targets for {2 * seconds} s each: {', '.join(failed) or 'none'} failed")
    sys.exit(bool(failed))


def fuzz(target, seconds, seed, environment, corpus):
    """Both halves of one target; True where nothing was found."""
    given = [
        str(HERE / "fuzz.py"),
        target,
        "--seconds",
        str(seconds),
        "--seed",
        str(seed),
        "--corpus",
        str(corpus),
    ]
    normal = {**os.environ, "PYTHONPATH": os.pathsep.join([str(sanitized.ROOT), str(HERE)])}
    steered = importlib.util.find_spec("atheris") is not None
    corpus.mkdir(parents=True, exist_ok=True)
    if (
        steered
        and subprocess.run([sys.executable, *given], env=normal, cwd=corpus.parent, check=False).returncode
    ):
        return False
    plain = [sys.executable, *given, "--plain"]
    return not subprocess.run(plain, env=environment, cwd=corpus.parent, check=False).returncode


if __name__ == "__main__":
    main()
