"""command_status: what to do about it, its name, and what it means to a person (SMPP 3.4 §5.1.3)."""

from engine.smpp.tables import STATUSES, Class

__all__ = ["Class", "classify", "meaning", "name"]

_CLASSES = {code: status.group for code, status in STATUSES.items()}
_VENDOR = range(0x400, 0x500)


def classify(status: int) -> Class:
    """The class of a command_status (32 bits). Unknown and vendor codes are permanent until mapped.

    Raises ValueError outside 32 bits: -1 (no response) and -2 (connection lost) of a ResultBatch are none.
    """
    known = _CLASSES.get(status)
    if known is not None:
        return known
    if not 0 <= status <= 0xFFFFFFFF:
        raise ValueError(f"{status} is not a command_status")
    return Class.PERMANENT


def name(status: int) -> str:
    """The specification's name (`ESME_RTHROTTLED`), or the hexadecimal code for one it does not name."""
    known = STATUSES.get(status)
    return known.name if known else f"0x{status:08X}"


def meaning(status: int) -> str:
    """One English sentence without a full stop, for tables and tooltips."""
    known = STATUSES.get(status)
    if known:
        return known.meaning
    return "Error code of the operator's own" if status in _VENDOR else "Unknown error code"
