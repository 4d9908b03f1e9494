"""A second SMSC in Chromium: added, tested, routed to by prefix, drained; and all stopped and lifted.

The product runs with a simulator of its own besides the demo's; both witnesses judge what arrived where.
Screenshots go where the other story's go.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import console_routes as routes
import pytest
from console_page import ARGUMENTS, CHROMIUM, Person
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bench.simulators.smsc.witness import records
from bench.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.slow]

SYSTEM_ID = "second"
PASSWORD = "second08"
FIRST, SECOND = "Demo SMSC", "Second SMSC"
BY_ROUTES = "By routes"
PATIENCE_MS = 30_000


@dataclass(frozen=True)
class Smsc:
    port: int
    witness: Path


@dataclass(frozen=True)
class People:
    root: Person
    author: Person
    moderator: Person

    @property
    def offences(self) -> list[str]:
        return self.root.offences + self.author.offences + self.moderator.offences


@pytest.fixture
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("channels"), ["--tps", "60"])
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def second_smsc(tmp_path: Path) -> Iterator[Smsc]:
    witness = tmp_path / "second.log"
    arguments = ["--port", "0", "--system-id", SYSTEM_ID, "--password", PASSWORD, "--witness", str(witness)]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.simulators.smsc", *arguments, "--receipt-share", "1.0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Smsc(json.loads(process.stdout.readline())["listening"], witness)
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture
def people(product: Stack, tmp_path: Path) -> Iterator[People]:
    shots = Path(os.environ.get("HELIOGRAPH_SCREENSHOTS") or tmp_path / "screenshots")
    shots.mkdir(parents=True, exist_ok=True)

    def enter(browser: Browser, role: str) -> Person:
        person = Person(browser, product.ready["ui"], shots)
        person.first_login(*product.login_of(role))
        return person

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield People(*(enter(browser, role) for role in ("super admin", "author", "moderator")))
        browser.close()


def test_a_second_smsc_is_added_tested_routed_to_drained_and_all_is_stopped(
    people: People, product: Stack, second_smsc: Smsc, tmp_path: Path
) -> None:
    root = people.root
    look_at_what_is_empty(root)
    add(root, second_smsc.port)
    send_tests(root)
    routes.add_routes(root, FIRST, SECOND)
    routes.ask(root, FIRST, SECOND)
    routes.change_late(root)
    routes.publish_and_credit(root, FIRST)
    send_by_routes(people, product, second_smsc, tmp_path)
    drain(root)
    edit(root)
    classify(root)
    stop_and_lift(root)
    assert people.offences == []


def send_by_routes(people: People, product: Stack, second: Smsc, folder: Path) -> None:
    """Each number arrives at the simulator that its prefix leads to, and nowhere else."""
    author, page = people.author, people.author.page
    campaign = routes.write(author, routes.recipient_file(folder), BY_ROUTES)
    routes.decide(people.moderator, BY_ROUTES)
    routes.watch(author, campaign)
    german, indian = routes.numbers(routes.GERMAN), routes.numbers(routes.INDIAN)
    ours = {*german, *indian, *routes.numbers(routes.AMERICAN, routes.NOWHERE)}
    arrived = {
        name: sorted(one.destination for one in records(witness) if one.destination in ours)
        for name, witness in ((FIRST, product.witness), (SECOND, second.witness))
    }
    assert arrived == {FIRST: german, SECOND: indian}
    for channel in (FIRST, SECOND):
        routes.goes_over(page, channel, routes.EACH, routes.EACH)
    routes.goes_over(page, "No route", routes.NOWHERE)
    expect(page.locator("[data-charged]")).to_have_text("1.50")
    author.look("campaign-by-routes")
    author.open(
        "/wallet"
    )  # 30 at 0.04 over the first, 30 codes to India at 0.01; nothing for what was blocked
    expect(page.locator(".tile", has_text="Charged")).to_contain_text("1.50 EUR")
    author.look("wallet-charged")


def look_at_what_is_empty(root: Person) -> None:
    for name, path in (("orphans", "/orphans"), ("inbound", "/inbound"), ("traces", "/traces")):
        root.open(path)
        expect(root.page.locator(".empty").first).to_be_visible()
        root.look(f"{name}-empty")


def add(root: Person, port: int) -> None:
    """A wrong password first: the test bind says so before anything is kept."""
    page = root.page
    root.open("/channels")
    page.get_by_role("link", name="Add an SMSC").click()
    for field, value in (
        ("Name", SYSTEM_ID),
        ("Channel over it", "Second SMSC"),
        ("Host", "127.0.0.1"),
        ("Port", str(port)),
        ("system_id", SYSTEM_ID),
        ("Password", "wrong"),
    ):
        page.get_by_label(field, exact=True).fill(value)
    page.get_by_role("button", name="Test bind first").click()
    expect(page.get_by_text("It does not bind")).to_be_visible(timeout=PATIENCE_MS)
    root.look("account-refused")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Test bind first").click()
    expect(page.get_by_text("It binds")).to_be_visible(timeout=PATIENCE_MS)
    root.look("account-new")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#binds .status").first).to_have_text("Bound", timeout=PATIENCE_MS)
    assert PASSWORD not in page.content()
    page.get_by_role("button", name="Test bind").click()
    expect(page.get_by_text("It binds")).to_be_visible(timeout=PATIENCE_MS)
    root.look("account-tested")
    root.open("/channels")
    expect(page.get_by_role("link", name="Second SMSC")).to_be_visible()
    root.look("channels-two")


def send_tests(root: Person) -> None:
    """A text and the test alphabet reach the simulator; a trace shows the PDUs, masked."""
    page = root.page
    root.open("/traces")
    page.get_by_label("Account", exact=True).select_option(SYSTEM_ID)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("Nothing yet")).to_be_visible()
    trace = page.url
    for what in ("A text", "The test alphabet"):
        root.open("/channels/Second%20SMSC")
        page.get_by_label("To", exact=True).fill("+49 151 23456789")
        page.get_by_text(what, exact=True).click()
        page.get_by_role("button", name="Send it").click()
        expect(page.locator("#tests li").first.locator(".status").first).to_have_text(
            "Delivered", timeout=PATIENCE_MS
        )
    root.look("channel-tested")
    assert "4915123456789" not in page.content()
    page.goto(trace)
    expect(page.get_by_role("rowheader", name="sent submit_sm").first).to_be_visible(timeout=PATIENCE_MS)
    root.look("trace")
    assert "4915123456789" not in page.content()
    page.get_by_role("button", name="End it now").click()
    expect(page.get_by_text("The trace has ended")).to_be_visible()


def drain(root: Person) -> None:
    page = root.page
    root.open(f"/accounts/{SYSTEM_ID}")
    page.get_by_role("button", name="Drain …").click()
    expect(page.locator("#drain-dialog")).to_contain_text("1 channel uses it: Second SMSC.")
    root.look("account-drain")
    page.get_by_role("button", name="Drain the account").click()
    expect(page.locator("#account-look")).to_have_text("Draining")
    root.look("account-draining")
    page.get_by_role("button", name="Undrain", exact=True).click()
    expect(page.get_by_text("Messages go over it again")).to_be_visible()
    page.get_by_role("button", name="Rebind 1").click()
    expect(page.locator("#binds .status").first).to_have_text("Bound", timeout=PATIENCE_MS)


def edit(root: Person) -> None:
    """A setting is changed where its meaning stands, and the change is told with who made it."""
    page = root.page
    page.get_by_role("link", name="Edit").click()
    open_drawers(page)
    root.look("account-edit")
    page.get_by_label("Enquire link", exact=True).fill("17")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("It works without a restart")).to_be_visible()
    expect(page.get_by_text("enquire_link_s: default → 17.0")).to_be_visible()
    page.get_by_role("link", name="Edit").click()
    open_drawers(page)
    page.get_by_label("Enquire link", exact=True).fill("-1")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".setting .error")).to_be_visible()
    root.open("/channels/Second%20SMSC/edit")
    open_drawers(page)
    root.look("channel-edit")


def open_drawers(page: Page) -> None:
    expect(page.locator("details.drawer").first).to_be_visible()
    closed = page.locator("details.drawer:not([open]) > summary")
    while closed.count():
        closed.first.click()


def classify(root: Person) -> None:
    page = root.page
    root.open("/channels/Second%20SMSC/errors")
    page.get_by_label("Code", exact=True).fill("0x401")
    page.get_by_label("Temporary").check()
    page.get_by_role("button", name="Classify", exact=True).click()
    expect(page.get_by_role("rowheader", name="0x00000401")).to_be_visible()
    page.get_by_label("Lines").fill("045,temporary,Absent subscriber\n050,permanent,Barred")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("Absent subscriber", exact=True)).to_be_visible()
    root.look("channel-errors")


def stop_and_lift(root: Person) -> None:
    page = root.page
    page.get_by_role("link", name="Stop sending").click()
    root.look("stop")
    page.get_by_label("Reason").fill("A wrong price in the text")
    page.get_by_label("Everything").check()
    page.get_by_role("button", name="Stop sending now").click()
    root.open("/channels")
    expect(page.locator("#stop-banner")).to_contain_text("All sending is stopped")
    root.look("stopped")
    page.get_by_role("link", name="Lift …").click()
    page.get_by_role("button", name="Lift …").click()
    root.look("stop-lift")
    page.get_by_role("button", name="Lift the stop").click()
    expect(page.get_by_text("What it held goes on")).to_be_visible()
    expect(page.locator("#stop-banner")).to_be_empty()
