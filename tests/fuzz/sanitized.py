"""The C extensions under AddressSanitizer and UndefinedBehaviorSanitizer, in a folder of their own.

`PYTHONPATH` of the environment that `build` gives holds the package as it is, but for these extensions; the
product's own build is not touched. GCC's sanitizers are preloaded, because Python itself is not built with
them; Python's objects come from malloc, so that each has its red zone.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "sanitized"
SUFFIXES = {".py", ".pyx", ".pxd", ".toml", ".json", ".sql"}
FLAGS = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"


def build(folder=FOLDER):
    """Build what changed; returns the environment to run Python in. Raises CalledProcessError with the
    compiler's words."""
    for source in [ROOT / "setup.py", *(ROOT / "engine").rglob("*")]:
        if source.suffix in SUFFIXES:
            copy = folder / source.relative_to(ROOT)
            if not copy.exists() or copy.read_bytes() != source.read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)
    compiler = folder / "cc"
    compiler.write_text(f'#!/bin/sh\nexec gcc "$@" {FLAGS}\n')
    compiler.chmod(0o755)
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--build-temp", "objects"],
        cwd=folder,
        env={**os.environ, "CC": str(compiler), "LDSHARED": f"{compiler} -shared"},
        check=True,
        capture_output=True,
        text=True,
    )
    return environment(folder)


def environment(folder=FOLDER):
    """To run Python on the sanitized extensions."""
    libraries = [_library(name) for name in ("libasan.so", "libubsan.so")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parent)]),
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": " ".join(libraries),
        # leaks are Python's own at its end
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=99",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }


def _library(name):
    found = subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return str(Path(found).resolve())


if __name__ == "__main__":
    try:
        build()
    except subprocess.CalledProcessError as error:
        sys.exit(error.stderr[-4000:])
