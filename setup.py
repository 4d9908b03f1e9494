"""Builds the Cython extensions: `python setup.py build_ext --inplace`.

HELIOGRAPH_DEBUG=1 builds with line tracing and assertions (for coverage and profilers);
HELIOGRAPH_ONLY=engine._fast.pdu,... builds just those modules.
"""

import multiprocessing
import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("HELIOGRAPH_DEBUG") == "1"
ONLY = {name for name in os.environ.get("HELIOGRAPH_ONLY", "").split(",") if name}

extensions = [
    Extension(
        ".".join(source.with_suffix("").parts),
        [str(source)],
        extra_compile_args=["-O0", "-g"] if DEBUG else ["-O3", "-fno-plt"],
        define_macros=[("CYTHON_TRACE", "1")] if DEBUG else [],
    )
    for folder in ("engine/_fast", "bench/simulators/smsc")
    for source in sorted(Path(folder).glob("*.pyx"))
    if not ONLY or ".".join(source.with_suffix("").parts) in ONLY
]

setup(
    options={"build_ext": {"parallel": multiprocessing.cpu_count()}},
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython",
        nthreads=multiprocessing.cpu_count(),
        annotate=DEBUG,
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "initializedcheck": DEBUG,
            "cdivision": True,
            "linetrace": DEBUG,
        },
    ),
)
