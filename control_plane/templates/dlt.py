"""India DLT: does a text fit the form that the registry has? Pure functions, linear in what they are given.

A registered form is fixed text with `{#var#}` places, each for up to 30 characters. Source: TRAI TCCCPR 2018
and the operators' content template rules, which compare fixed text character by character.
"""

import re

from control_plane.templates.body import Reference, parse

PLACE = "{#var#}"
PLACE_LONGEST = 30  # characters
TEMPLATE_ID = re.compile(r"[0-9]{19}")
REGISTERED_LIMIT = 2_000  # characters
_ANY_PLACE = re.compile(r"\{#[^{}#]*#\}")
_SHOWN = 20


class Mismatch(ValueError):
    """Why a text does not fit its registered form, as a sentence."""


def fixed_parts(registered: str) -> list[str]:
    """The fixed text around the places: one more than there are places. Mismatch for a form that is none."""
    if not registered.strip():
        raise Mismatch("The registered text is empty.")
    if len(registered) > REGISTERED_LIMIT:
        raise Mismatch(f"The registered text is longer than {REGISTERED_LIMIT:,} characters.")
    parts = registered.split(PLACE)
    for part in parts:
        if other := _ANY_PLACE.search(part):
            raise Mismatch(f"The registered text has {other.group()[:_SHOWN]}: only {PLACE} is known.")
        if "{#" in part or "#}" in part:
            raise Mismatch(f"The registered text has a broken {PLACE}.")
    return parts


def places(body: str, registered: str) -> list[str]:
    """The variables of a body by the places they fill, in order. Mismatch where the fixed text differs or
    the numbers do; BadBody for a body that cannot be read."""
    wanted, fixed, found = fixed_parts(registered), [""], []
    for part in parse(body):
        if isinstance(part, Reference):
            found.append(part.name)
            fixed.append("")
        else:
            fixed[-1] += part
    for number, (ours, theirs) in enumerate(zip(fixed, wanted, strict=False)):
        if ours != theirs:
            raise Mismatch(_difference(ours, theirs, number))
    if len(found) != len(wanted) - 1:
        raise Mismatch(
            f"The text has {len(found)} variables, the registered text {len(wanted) - 1} {PLACE} places."
        )
    return found


def fits(text: str, registered: str) -> bool:
    """Whether a message as it goes out is one of the registered form: every place taken by 0 to 30
    characters. Mismatch for a form that is none."""
    first, *rest = fixed_parts(registered)
    longest = len(first) + sum(len(fixed) + PLACE_LONGEST for fixed in rest)
    if not text.startswith(first) or len(text) > longest:
        return False
    begins = {fixed: _starts(text, fixed) for fixed in {*rest} if fixed}
    # Bit n: what has been read so far may end before character n. No backtracking, so nothing to exhaust.
    reach, whole = 1 << len(first), (1 << (len(text) + 1)) - 1
    for fixed in rest:
        reach = _widened(reach) & whole
        reach = (reach & begins[fixed]) << len(fixed) if fixed else reach
        if not reach:
            return False
    return bool(reach >> len(text) & 1)


def _widened(reach: int) -> int:
    """Everything 0 to 30 characters on: 1, 2, 4 and 8 make 0 to 15, and those once more from 15 on."""
    widened = reach
    for shift in (1, 2, 4, 8):
        widened |= widened << shift
    return widened | widened << (PLACE_LONGEST - 15)


def _starts(text: str, fixed: str) -> int:
    """The places in a text where a fixed part begins."""
    bits, at = bytearray(len(text) // 8 + 1), text.find(fixed)
    while at >= 0:
        bits[at >> 3] |= 1 << (at & 7)
        at = text.find(fixed, at + 1)
    return int.from_bytes(bits, "little")


def _difference(ours: str, theirs: str, number: int) -> str:
    at = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    at = min(len(ours), len(theirs)) if at is None else at
    where = "at the beginning" if number == 0 else f"after variable {number}"
    return (
        f"The text differs from its registered form {where}: “{_piece(ours, at)}” instead of"
        f" “{_piece(theirs, at)}”."
    )


def _piece(text: str, at: int) -> str:
    return text[max(0, at - 5) : at + _SHOWN].replace("\n", "↵") or "nothing"
