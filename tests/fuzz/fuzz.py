"""One fuzz target until the time is over or it fails: `python fuzz.py TARGET --seconds 60 [--plain]`.

With atheris (libFuzzer) the coverage of the plain-Python twins steers, and what led further is kept in the
corpus. `--plain`, or without atheris: the corpus is played first, then random octets and changes of it.
A failing input is named. `run.py` runs both, the second under the sanitizers.
"""

import argparse
import itertools
import random
import sys
import time
from pathlib import Path


def main():
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("target")
    reader.add_argument("--seconds", type=int, default=60)
    reader.add_argument("--seed", type=int, default=1)
    reader.add_argument("--corpus", type=Path)
    reader.add_argument("--plain", action="store_true", help="without atheris")
    options = reader.parse_args()
    try:
        if options.plain:
            raise ModuleNotFoundError
        import atheris
    except ModuleNotFoundError:
        from targets import TARGETS

        randomly(TARGETS[options.target], options)
        return
    with atheris.instrument_imports(include=["engine._fast.pure", "engine.smpp.codec"]):
        from targets import TARGETS
    arguments = [
        f"-max_total_time={options.seconds}",
        f"-seed={options.seed}",
        "-max_len=2048",
        "-verbosity=0",
    ]
    if options.corpus:
        options.corpus.mkdir(parents=True, exist_ok=True)
        arguments += [str(options.corpus), f"-artifact_prefix={options.corpus}/"]
    atheris.Setup([sys.argv[0], *arguments], TARGETS[options.target])
    atheris.Fuzz()


def randomly(target, options):
    """The corpus, then random octets and changes of what was there."""
    generator, until, count = random.Random(options.seed), time.monotonic() + options.seconds, 0
    known = [file.read_bytes() for file in sorted(options.corpus.glob("*"))] if options.corpus else []
    for data in itertools.chain(known, made(generator, known)):
        if time.monotonic() >= until:
            break
        try:
            target(data)
        except Exception:
            print(f"failing input: {data.hex()}", file=sys.stderr)
            raise
        count += 1
    print(f"{options.target}: {count} inputs")


def made(generator, known):
    """Inputs without end."""
    while True:
        if not known or generator.randrange(4) == 0:
            yield generator.randbytes(generator.randrange(1, 400))
            continue
        changed = bytearray(generator.choice(known))
        for _ in range(1 + generator.randrange(4)):
            at, kind = generator.randrange(len(changed) + 1), generator.randrange(3)
            if kind == 0:
                changed[at : at + 1] = bytes(
                    [generator.choice((0, 0x3A, 0x7F, 0xFF, generator.randrange(256)))]
                )
            elif kind == 1:
                del changed[at : at + generator.randrange(20)]
            else:
                changed[at:at] = generator.choice(known)[: generator.randrange(40)]
        yield bytes(changed)


if __name__ == "__main__":
    main()
