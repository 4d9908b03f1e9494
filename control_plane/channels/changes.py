"""What differs between two versions of an account or a channel, in words for the audit. No secret, ever."""

from collections.abc import Mapping
from typing import Any

LONG = 60


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Names with "old → new"; long values only say that they changed."""
    names = sorted(before.keys() | after.keys())
    return {
        name: _pair(before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    }


def _pair(old: Any, new: Any) -> str:
    shown = f"{_word(old)} → {_word(new)}"
    return shown if len(shown) <= LONG and "\n" not in shown else "changed"


def _word(value: Any) -> str:
    return "default" if value is None else str(value)
