"""What is held about a number: all of it, of one workspace or of all; erased, nothing is found."""

from uuid import uuid4

import pytest
from fold_world import settled
from ledger_world import FIRST_MSISDN, start_campaign
from test_erasure import DIGITS, scatter, spec

from engine.core_api import schema
from engine.ledger import errors, fold
from engine.recipients import erasure, people


def asked(workspace_id=None, number=DIGITS):
    return schema.PersonQuestion(msisdn=number, workspace_id=workspace_id)


async def filled(driver):
    await settled(driver)
    await scatter(driver)
    await driver.pool.execute("UPDATE submissions SET msisdn = $1 WHERE row_no = 7", int(DIGITS))
    await fold.fold_due(driver.pool)


async def test_every_store_that_holds_it_is_named(driver, box):
    await filled(driver)
    found = await people.find(driver.pool, asked())
    assert found.counts == {
        "recipient_chunks": 2, "submissions": 1, "receipts": 1, "messages_done": 2, "doubts": 1,
        "job_errors": 1, "orphan_receipts": 2, "inbound": 1, "test_messages": 1, "traces": 1, "decisions": 1,
    }  # fmt: skip
    assert (found.cut, found.in_use) == (False, [])
    own, other = [one.held for one in found.records if one.store == "recipient_chunks"]
    assert own["msisdn"] == DIGITS
    assert set(other) == {"file", "name"}, "of another's row only what names the number"
    assert str(FIRST_MSISDN + 5) not in repr(other)
    assert [one.held["body"] for one in found.records if one.store == "inbound"] == ["STOP"]
    await erasure.erase(driver.pool, box, spec())
    assert (await people.find(driver.pool, asked())).counts == {}


async def test_a_workspace_sees_and_erases_only_its_own(driver, box):
    await filled(driver)
    own = driver.campaign.workspace_id
    assert (await people.find(driver.pool, asked(uuid4()))).counts == {}
    found = await people.find(driver.pool, asked(own))
    assert set(found.counts) == {"recipient_chunks", "submissions", "receipts", "messages_done", "doubts"}
    nothing = await erasure.erase(driver.pool, box, spec(workspace_id=uuid4()))
    assert nothing.erased == {}
    assert await people.find(driver.pool, asked(own)) == found
    done = await erasure.erase(driver.pool, box, spec(workspace_id=own))
    assert done.erased == {"recipient_chunks": 1, "submissions": 1, "messages_done": 2, "doubts": 1}
    assert (await people.find(driver.pool, asked(own))).counts == {}
    left = await people.find(driver.pool, asked())
    assert {"inbound", "orphan_receipts", "traces"} <= set(left.counts), "whose these are is not known"


async def test_another_workspaces_campaign_does_not_stand_in_the_way(driver, box):
    await filled(driver)
    running, _ = await start_campaign(driver.pool, 70)
    assert (await people.find(driver.pool, asked(driver.campaign.workspace_id))).in_use == []
    (user,) = (await people.find(driver.pool, asked(running.workspace_id))).in_use
    assert str(running.campaign_id) in user
    await erasure.erase(driver.pool, box, spec(workspace_id=driver.campaign.workspace_id))
    with pytest.raises(errors.NumberInUse):
        await erasure.erase(driver.pool, box, spec(workspace_id=running.workspace_id))


async def test_one_decision_for_two_workspaces_is_refused(driver, box):
    order = spec(workspace_id=uuid4())
    await erasure.erase(driver.pool, box, order)
    with pytest.raises(errors.LedgerError):
        await erasure.erase(
            driver.pool,
            box,
            schema.ErasureSpec(
                decision_id=order.decision_id, msisdn=DIGITS, reason="asked for", workspace_id=uuid4()
            ),
        )


async def test_more_than_an_answer_holds_is_said(driver, monkeypatch):
    await filled(driver)
    monkeypatch.setattr(people, "LIMIT", 1)
    found = await people.find(driver.pool, asked())
    assert found.cut
    assert found.counts["messages_done"] == 1


@pytest.mark.parametrize("number", ["", "12", "x" * 10])
async def test_what_is_no_number_is_not_looked_for(pool, number):
    with pytest.raises(errors.Unfit):
        await people.find(pool, asked(number=number))
