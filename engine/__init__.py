"""The engine: all that moves or costs a message."""

__version__ = "0.1.0"
