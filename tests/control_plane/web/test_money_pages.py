"""Wallets and prices through the pages: seen by their workspace, booked once, published whole."""

from typing import Any
from uuid import uuid4

import pytest

from control_plane.access import MASTER_ID, Role
from control_plane.audit.outbox import AUDIT
from control_plane.core_fake import FakeCore
from control_plane.money.price_csv import LIMIT
from control_plane.services import Services
from engine.core_api import schema

JSON = {"accept": "application/json"}
CREDIT = {"kind": "credit", "amount": "125.50", "currency": "eur", "note": "Invoice 7"}


async def events(services: Services, action: str) -> list[Any]:
    return (await services.store.find(AUDIT, {"action": action}, limit=50)).records


async def credit(core: FakeCore, workspace_id: Any, amount: int = 1_000_000, note: str = "first") -> None:
    spec = schema.TransactionSpec(
        decision_id=uuid4(), amount=amount, currency="EUR", note=note, actor="somebody@demo.example"
    )
    await core.transact(workspace_id, spec)
    core.done.clear()


async def publish(core: FakeCore, *rates: schema.Rate) -> None:
    await core.publish_rates(schema.RateSheetSpec(decision_id=uuid4(), rates=[*rates]))
    core.done.clear()


async def test_a_workspace_without_a_wallet_is_told_that_it_is_not_charged(author: Any) -> None:
    page = (await author.get("/wallet")).text
    assert "This workspace is not charged" in page
    assert "No price list yet" in page


@pytest.mark.parametrize("role", [*Role])
async def test_every_role_sees_its_own_wallet_and_no_other(
    core: FakeCore, house: Any, browser_of: Any, role: Role
) -> None:
    await credit(core, house.workspace.id, 12_345_600)
    await credit(core, house.stranger.workspace_id, 77_770_000, "of others")
    browser = await browser_of(role)
    page = (await browser.get("/wallet")).text
    assert "1,234.56" in page
    assert "somebody@demo.example" in page
    assert "7,777" not in page
    assert "of others" not in page
    assert "Credit or debit" not in page
    for path in ("/wallets", f"/wallets/{house.workspace.id}", "/prices", "/prices/1"):
        assert (await browser.get(path)).status_code == 403, path
    booked = await browser.submit(f"/wallets/{house.workspace.id}/transactions", **CREDIT)
    assert booked.status_code == 403
    assert (await browser.submit("/prices", csv="prefix,price\n,1")).status_code == 403
    assert core.done == []


async def test_transactions_are_paged(core: FakeCore, house: Any, author: Any) -> None:
    for number in range(30):
        await credit(core, house.workspace.id, 10_000, f"note {number}.")
    first = (await author.get("/wallet")).text
    assert "note 29." in first
    assert "note 4." not in first
    following = first.split('href="/wallet?after=')[1].split('"')[0]
    assert "note 4." in (await author.get(f"/wallet?after={following}")).text
    made_up = await author.get("/wallet?after=x")
    assert made_up.status_code == 422


async def test_prices_are_narrowed_by_a_prefix_that_is_never_a_whole_number(
    core: FakeCore, author: Any
) -> None:
    rates = [schema.Rate(prefix=str(number), price=number) for number in range(100, 170)]
    await publish(core, schema.Rate(prefix="", price=500), *rates, schema.Rate(prefix="4915", price=777))
    page = (await author.get("/wallet")).text
    assert "22 more prices" in page
    found = (await author.get("/wallet?prefix=%2B49151234567890")).text
    assert "0.0777" in found
    assert "Every other number" in found
    assert "+100" not in found
    assert 'value="4915123"' in found


async def test_a_credit_is_booked_once_however_often_it_is_clicked(
    services: Services, core: FakeCore, house: Any, root: Any
) -> None:
    path = f"/wallets/{house.workspace.id}"
    form = (await root.get(path)).text
    assert "The first credit opens the wallet" in form
    decision = form.split('name="decision" value="')[1].split('"')[0]
    for _click in range(3):
        answer = await root.submit(f"{path}/transactions", **CREDIT, decision=decision)
        assert answer.headers["location"] == f"{path}?done=credited"
    assert core.done == ["credit"]
    wallet = await core.wallet(house.workspace.id)
    assert (wallet.balance, wallet.currency) == (1_255_000, "EUR")
    (made,) = (await core.transactions(house.workspace.id)).transactions
    assert (made.actor, made.note) == ("admin@heliograph.example", "Invoice 7")
    told = (await events(services, "wallet.credit"))[0]
    assert told.workspace_id == house.workspace.id
    assert told.details == {"amount": "EUR125.5", "note": "Invoice 7", "decision": decision}
    other = await root.submit(f"{path}/transactions", **{**CREDIT, "amount": "1"}, decision=decision)
    assert other.status_code == 409
    assert (await core.wallet(house.workspace.id)).balance == 1_255_000


@pytest.mark.parametrize("amount", ["1234567.8912", "99999999", "567.5000"])
async def test_the_audit_does_not_take_an_amount_for_a_phone_number(
    services: Services, house: Any, root: Any, amount: str
) -> None:
    path = f"/wallets/{house.workspace.id}/transactions"
    assert (await root.submit(path, **{**CREDIT, "amount": amount})).status_code == 303
    (told,) = await events(services, "wallet.credit")
    assert told.details["amount"] == f"EUR{amount.rstrip('0') if '.' in amount else amount}"


async def test_a_debit_takes_no_more_than_is_free(
    services: Services, core: FakeCore, house: Any, root: Any
) -> None:
    path = f"/wallets/{house.workspace.id}/transactions"
    debit = {**CREDIT, "kind": "debit"}
    nothing = await root.submit(path, **debit)
    assert (nothing.status_code, "It has no wallet yet" in nothing.text) == (409, True)
    await credit(core, house.workspace.id)
    too_much = await root.submit(path, **debit)
    assert (too_much.status_code, 'id="amount-error"' in too_much.text) == (409, True)
    assert (await root.submit(path, **{**debit, "amount": "0.5"})).status_code == 303
    assert (await core.wallet(house.workspace.id)).balance == 995_000
    assert len(await events(services, "wallet.debit_refused")) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", "1,50"),
        ("amount", "0"),
        ("currency", "euro"),
        ("note", " "),
        ("note", "x" * 201),
        ("kind", "gift"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_booked(
    core: FakeCore, house: Any, root: Any, field: str, value: str
) -> None:
    answer = await root.submit(f"/wallets/{house.workspace.id}/transactions", **{**CREDIT, field: value})
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert core.done == []


async def test_where_the_engine_does_not_answer_the_same_form_can_be_sent_again(
    core: FakeCore, house: Any, root: Any
) -> None:
    """Under its decision: booked once, whether or not the first time arrived."""
    decision = str(uuid4())
    path = f"/wallets/{house.workspace.id}/transactions"
    core.away = True
    answer = await root.submit(path, **CREDIT, decision=decision)
    assert answer.status_code == 503
    assert "It is not known whether it was booked" in answer.text
    assert f'name="decision" value="{decision}"' in answer.text
    assert 'value="125.50"' in answer.text
    core.away = False
    assert (await root.submit(path, **CREDIT, decision=decision)).status_code == 303
    assert core.done == ["credit"]
    assert (await root.submit(path, **CREDIT, decision="again")).status_code == 400


async def test_all_wallets_are_listed_with_those_who_have_none(core: FakeCore, house: Any, root: Any) -> None:
    await credit(core, house.workspace.id, 20_000)
    page = (await root.get("/wallets")).text
    assert page.index("Demo") < page.index("Elsewhere")
    assert "2.00 EUR" in page
    assert "not charged" in page
    listed = (await root.get("/wallets", headers=JSON)).json()["wallets"]
    assert [one["workspace_id"] for one in listed] == [str(house.workspace.id)]


async def test_a_price_list_is_published_whole_and_once(
    services: Services, core: FakeCore, root: Any
) -> None:
    decision = str(uuid4())
    form = {"csv": "prefix,price\n,0.05\n91,0.012\n", "note": "Spring", "decision": decision}
    for _click in range(2):
        assert (await root.submit("/prices", **form)).headers["location"] == "/prices?done=published"
    assert core.done == ["publish rates"]
    assert [one.price for one in await core.rates(1)] == [500, 120]
    page = (await root.get("/prices")).text
    assert "Counts now" in page
    assert "Spring" in page
    assert "0.0120" in (await root.get("/prices/1?prefix=91")).text
    assert (await events(services, "prices.publish"))[0].details["rates"] == "2"


@pytest.mark.parametrize(
    ("csv", "said"),
    [
        ("prefix,price\n91,0,05", "Line 2"),
        ("", "Paste a list"),
        ("prefix,price,channel\n91,1,Nowhere", "no channel"),
    ],
)
async def test_a_price_list_that_is_wrong_is_not_published(
    core: FakeCore, root: Any, csv: str, said: str
) -> None:
    answer = await root.submit("/prices", csv=csv, note="n")
    assert answer.status_code == 422
    assert 'id="csv-error"' in answer.text
    assert said in answer.text
    assert core.done == []


async def test_a_super_admin_books_for_the_workspace_they_look_at(house: Any, root: Any) -> None:
    assert (await root.get("/wallet")).status_code == 303  # first a workspace
    await root.submit("/workspace", workspace=str(house.workspace.id))
    assert f'href="/wallets/{house.workspace.id}"' in (await root.get("/wallet")).text


async def test_with_the_engine_away_the_pages_say_so(core: FakeCore, author: Any, root: Any) -> None:
    core.away = True
    assert "cannot be reached" in (await author.get("/wallet")).text
    for path in ("/wallets", f"/wallets/{MASTER_ID}", "/prices"):
        page = await root.get(path)
        assert (page.status_code, "cannot be reached" in page.text) == (200, True), path


async def test_where_the_engine_does_not_answer_a_price_list_can_be_sent_again(
    core: FakeCore, root: Any
) -> None:
    """Under its decision: published once, whether or not the first time arrived."""
    form = {"csv": "prefix,price\n91,0.012\n", "note": "Spring", "decision": str(uuid4())}
    core.away = True
    answer = await root.submit("/prices", **form)
    assert answer.status_code == 503
    assert "It is not known whether the list was published" in answer.text
    assert f'name="decision" value="{form["decision"]}"' in answer.text
    assert "91,0.012" in answer.text
    assert (await root.post("/prices", data=form, headers=JSON)).status_code == 503
    core.away = False
    assert (await root.submit("/prices", **form)).status_code == 303
    assert core.done == ["publish rates"]


async def test_the_longest_price_list_fits_into_a_form(core: FakeCore, root: Any) -> None:
    """Also where a browser writes each line end and comma as three or six octets."""
    head, line = "prefix,price,channel,category\n", "91000000,0.0120,,otp\n"
    count = (LIMIT - len(head)) // len(line)
    csv = head + "".join(f"{91000000 + n},0.0120,,otp\n" for n in range(count))
    assert LIMIT - len(csv) < len(line)
    answer = await root.submit("/prices", csv=csv.replace("\n", "\r\n"), note="long")
    assert answer.status_code == 303
    assert len(await core.rates(1)) == count
    longer = await root.submit("/prices", csv=csv + "x" * 100, note="longer")
    assert (longer.status_code, "90,000" in longer.text) == (422, True)
