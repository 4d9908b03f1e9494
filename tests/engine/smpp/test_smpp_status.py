"""command_status classes, held against the table of the protocol notes rather than against themselves."""

import pytest

from engine.smpp import status
from engine.smpp.tables import STATUSES, Class

CLASSES = {
    Class.OK: "00",
    Class.SESSION: "04 05 0D 0E 0F",
    Class.THROTTLE: "58",
    Class.QUEUE_FULL: "14",
    Class.TEMPORARY: "08 45 64 FE FF",
    # permanent in the notes too; a campaign by routes has a further channel for them
    Class.CHANNEL: "0A 0B 15 48 49 50 51 100 101 102 103",
    Class.PERMANENT: "01 02 03 06 07 33 34 40 42 43 44 53 54 55 61 62 63 65 66 C0 C1 C2 C3 C4 "
    "104 105 106 107 108 109 10A 10B 10C 10D 10E 10F 110 111 112",
}


@pytest.mark.parametrize(("group", "codes"), CLASSES.items())
def test_each_class_has_these_codes(group: Class, codes: str) -> None:
    for code in codes.split():
        assert status.classify(int(code, 16)) is group, code


@pytest.mark.parametrize("code", [0x400, 0x4FF, 0x09, 0x7FFFFFFF, 0xFFFFFFFF])
def test_unknown_and_vendor_codes_are_permanent(code: int) -> None:
    assert status.classify(code) is Class.PERMANENT
    assert status.name(code) == f"0x{code:08X}"
    assert status.meaning(code)


@pytest.mark.parametrize("code", [-1, -2, 1 << 32])
def test_what_is_no_command_status_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match="command_status"):
        status.classify(code)


def test_names_and_meanings_are_those_of_the_table() -> None:
    assert status.name(0x58) == "ESME_RTHROTTLED"
    assert "operator" in status.meaning(0x401)
    for code, each in STATUSES.items():
        assert status.name(code) == each.name
        assert status.meaning(code) == each.meaning
