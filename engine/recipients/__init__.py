"""A recipient file or stream -> validated, deduplicated Arrow chunks."""
