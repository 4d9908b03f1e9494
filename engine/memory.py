"""Memory settings of the engine's process; imported before pyarrow is.

A file of a gigabyte must not leave the process larger than one of a megabyte: Arrow goes through malloc,
very large ones go back to the system at once, and threads share two arenas. Pages below that are kept for the
next block or chunk of a file: fresh ones for each cost a third of the time it takes to read it.
"""

import ctypes
import os

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
MMAP_THRESHOLD_BYTES = 4 * 1024 * 1024
TRIM_THRESHOLD_BYTES = 8 * 1024 * 1024


def configure() -> None:
    """Takes effect for what is allocated after it; elsewhere than on glibc only Arrow's half does."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
        mallopt(M_ARENA_MAX, 2)


configure()
