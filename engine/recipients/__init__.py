"""A recipient file or stream -> validated, deduplicated Arrow chunks."""

import os

# Arrow's own allocator keeps what a big file needed, the C library gives it back. Read on importing pyarrow.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
