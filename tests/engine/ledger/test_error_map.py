"""A channel's error map: over the built-in table, with what was seen, imported whole or not at all."""

from uuid import uuid4

import pytest
from ledger_world import make_channel, make_driver

from engine.core_api import schema
from engine.ledger import error_map
from engine.ledger.errors import BadErrorCode, DecisionReused, NotFound
from engine.smpp.status import Class

ACCEPTED, FAILED, _, THROTTLED, DOUBT = range(5)


def spec(code, error_class="temporary", context="response", **given):
    return schema.ErrorCodeSpec(
        decision_id=uuid4(), context=context, code=code, error_class=error_class, **given
    )


def table(text, context="receipt"):
    return schema.ErrorCodeImport(decision_id=uuid4(), context=context, csv=text)


async def codes(pool):
    found = await error_map.of_channel(pool, "bulk")
    return {(each.context, each.code): each for each in found.codes}, found


async def test_codes_that_were_seen_are_counted_and_unmapped_ones_are_named(pool, box):
    driver = await make_driver(pool, box, 10)
    await driver.claim([1] * 10)
    driver.results((row, 1, 0, FAILED, 0x45B, "", False) for row in range(3))
    driver.results([(3, 1, 0, THROTTLED, 0x58, "", False), (4, 1, 0, FAILED, 0x0B, "", False)])
    driver.accept(5, 6)
    driver.undelivered("5.1", "6.1")
    await driver.writer.flush()
    found, whole = await codes(pool)
    assert (found["response", "0x0000045B"].count, found["response", "0x00000058"].count) == (3, 1)
    assert found["receipt", "045"].count == 2
    unmapped = {(each.context, each.code) for each in whole.unmapped}
    assert unmapped == {("response", "0x0000045B"), ("receipt", "045")}
    await error_map.put(pool, "bulk", spec("1115"))
    _, whole = await codes(pool)
    assert {(each.context, each.code) for each in whole.unmapped} == {("receipt", "045")}


async def test_what_is_accepted_without_an_id_is_counted_by_channel(pool, box):
    """On time, late, and beside parts that have one; it is no error code."""
    driver = await make_driver(pool, box, 10)
    await driver.claim([1] * 6 + [2])
    driver.results((row, 1, 0, ACCEPTED, 0, id_, False) for row, id_ in enumerate(["", "a", "", "b"]))
    driver.results([(4, 1, 0, FAILED, 0x45B, "", False), (5, 1, 0, DOUBT, -1, "", False)])
    driver.results([(6, 1, 0, ACCEPTED, 0, "c", False), (6, 2, 0, ACCEPTED, 0, "", False)])
    driver.results([(5, 1, 0, ACCEPTED, 0, "", True)])
    await driver.writer.flush()
    found, whole = await codes(pool)
    assert whole.accepted_without_id == 4
    assert ("response", "0x00000000") not in found
    assert [each.code for each in whole.unmapped] == ["0x0000045B"]
    assert (await driver.counts()).in_flight == 6


async def test_a_code_is_mapped_changed_and_given_back(pool, box):
    await make_channel(pool, box)
    order = spec("0x45B", meaning="busy", note="asked the operator")
    first = await error_map.put(pool, "bulk", order)
    assert (first.code, first.error_class, first.mapped, first.version) == (
        "0x0000045B",
        "temporary",
        True,
        1,
    )
    assert await error_map.put(pool, "bulk", order) == first
    assert (await error_map.put(pool, "bulk", spec("0x45B", "permanent"))).version == 2
    maps = await error_map.classes(pool)
    assert [*maps.values()] == [{0x45B: Class.PERMANENT}]
    await error_map.delete(pool, "bulk", "response", "0x45b")
    with pytest.raises(NotFound):
        await error_map.delete(pool, "bulk", "response", "0x45b")
    assert await error_map.classes(pool) == {}
    with pytest.raises(DecisionReused):
        await error_map.put(
            pool,
            "bulk",
            schema.ErrorCodeSpec(
                decision_id=order.decision_id, context="response", code="0x45B", error_class="session"
            ),
        )


@pytest.mark.parametrize("code", ["", "0", "-1", "0x", "0x100000000", "busy", "1.5"])
async def test_what_is_no_command_status_is_refused(pool, box, code):
    await make_channel(pool, box)
    with pytest.raises(BadErrorCode):
        await error_map.put(pool, "bulk", spec(code))


async def test_a_receipts_code_cannot_throttle(pool, box):
    await make_channel(pool, box)
    with pytest.raises(BadErrorCode):
        await error_map.put(pool, "bulk", spec("045", "throttle", "receipt"))


async def test_a_table_is_imported_whole(pool, box):
    await make_channel(pool, box)
    text = "code;class;meaning;note\n600;;Template not registered;\n601;temporary;Timed out;twice a day\n"
    first = await error_map.import_table(pool, "bulk", table("\ufeff" + text))
    assert (first.added, first.changed, first.unchanged) == (2, 0, 0)
    again = await error_map.import_table(pool, "bulk", table(text.replace("twice", "once")))
    assert (again.added, again.changed, again.unchanged) == (0, 1, 1)
    found, _ = await codes(pool)
    assert (found["receipt", "600"].error_class, found["receipt", "600"].meaning) == (
        "permanent",
        "Template not registered",
    )
    assert found["receipt", "601"].note == "once a day"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("600,permanent\n601,throttle\n", "line 2"),
        ("600\n600\n", "line 2: 600 stands twice"),
        ("code,class\ntoolong7,permanent\n", "line 2"),
        ("", "no line"),
        ("code,class\n", "no line"),
    ],
)
async def test_nothing_of_a_table_with_a_wrong_line_is_stored(pool, box, text, said):
    await make_channel(pool, box)
    with pytest.raises(BadErrorCode, match=said):
        await error_map.import_table(pool, "bulk", table(text))
    _, whole = await codes(pool)
    assert not any(each.mapped for each in whole.codes)


async def test_an_unknown_channel_is_not_found(pool, box):
    with pytest.raises(NotFound):
        await error_map.of_channel(pool, "none")
