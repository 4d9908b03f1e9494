"""Codes of message errors: as they are kept, and what they are called and mean."""

from engine.core_api.schema import ErrorContext
from engine.ledger.states import ENCODE_CODE, ENCODE_STATUS
from engine.smpp import status as smpp_status

# message_state (SMPP 3.4 §5.2.28; 0 and 9 are SMPP 5.0) -> receipt text, meaning
STATS: dict[int, tuple[str, str]] = {
    0: ("SCHEDULED", "The message is scheduled; delivery has not begun"),
    1: ("ENROUTE", "The message is on its way"),
    2: ("DELIVRD", "The message was delivered"),
    3: ("EXPIRED", "The validity period ended before the message could be delivered"),
    4: ("DELETED", "The message was deleted at the operator"),
    5: ("UNDELIV", "The operator could not deliver the message"),
    6: ("ACCEPTD", "The message was read by the operator for the subscriber"),
    7: ("UNKNOWN", "The operator does not know what became of the message"),
    8: ("REJECTD", "The operator rejected the message after accepting it"),
    9: ("SKIPPED", "The operator skipped the message"),
}
WITHOUT_ID = "0x00000000"  # of a response: accepted, and no id by which a receipt could be matched
_ENCODE = {
    "too_long": ("too long", "The text needs more parts than allowed; it was not sent"),
    "empty": ("empty", "The text is empty for this recipient; it was not sent"),
    "bad_characters": (
        "bad characters",
        "The text has characters outside the channel's alphabets, which the campaign rejects; not sent",
    ),
    "changed": (
        "changed",
        "The channel's settings split the text otherwise than at the first try; not sent again",
    ),
    "no_route": ("no route", "The campaign goes by routes, and none fits the number; it was not sent"),
    "no_rate": ("no rate", "The campaign's price list has no rate for the number; it was not sent"),
    "bad_number": ("bad number", "The recipient's number cannot be written as an address; it was not sent"),
}
_OURS = {
    -21: "counted as sent",
    -22: "counted as not sent",
    -23: "cancelled before its next try",
    -24: "not sent before a stop",
    -25: "found by its receipt",
}


def response_code(status: int) -> str:
    """A command_status as it is kept: 0x0000000B; ours are negative decimals."""
    return f"0x{status:08X}" if status >= 0 else str(status)


def receipt_code(stat: int, error: str) -> str:
    """A receipt's state and err as they are kept: `UNDELIV err:045`, `EXPIRED`."""
    name = STATS[stat][0] if stat in STATS else "UNKNOWN"
    error = "".join(character for character in error if character.isprintable())
    return f"{name} err:{error}" if error else name


def named(context: ErrorContext, code: str) -> tuple[str, str]:
    """The field's term for a kept code and what it means there."""
    if context == "encode":
        return _ENCODE.get(code, (code, ""))
    if context == "receipt":
        stat = code.split(" ", 1)[0]
        return code, next((meaning for name, meaning in STATS.values() if name == stat), "")
    if not code.startswith("0x"):
        return _OURS.get(int(code), code) if code.lstrip("-").isdigit() else code, ""
    status = int(code, 16)
    return smpp_status.name(status), smpp_status.meaning(status)


def status_name(status: int) -> str:
    """What a failed row's status is called: the command_status's name, or why it gave no PDU."""
    code = next((name for code, name in ENCODE_CODE.items() if ENCODE_STATUS[code] == status), None)
    if code:
        return _ENCODE[code][0]
    return smpp_status.name(status) if status >= 0 else _OURS.get(status, str(status))
