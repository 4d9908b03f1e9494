"""The whole story in Chromium: first logins, a real file, review, approval, the live page to its end.

It starts the whole product with the one command, in a folder and on ports of its own. Screenshots go to
HELIOGRAPH_SCREENSHOTS, or to the test's folder.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console_page import ARGUMENTS, CHROMIUM, Person
from playwright.sync_api import Browser, expect, sync_playwright

from bench.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.slow]

RECIPIENTS = 400
NAMES = ("Zoë", "Jürgen", "Anna", "Łucja", "François")
TEXT = "Hello , your order is ready for collection."
PATIENCE_MS = 90_000


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("story"), ["--tps", "20"])
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("HELIOGRAPH_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def recipients(tmp_path: Path) -> Path:
    """Names with accents, one duplicate, one bad line."""
    lines = ["msisdn,name"]
    lines += [f"+4915123{number:06d},{NAMES[number % len(NAMES)]}" for number in range(RECIPIENTS)]
    lines += [lines[1], "no number,Nobody"]
    file = tmp_path / "recipients.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_a_campaign_from_the_file_to_the_last_receipt(
    product: Stack, chromium: Browser, shots: Path, recipients: Path
) -> None:
    author = Person(chromium, product.ready["ui"], shots)
    moderator = Person(chromium, product.ready["ui"], shots)
    root = Person(chromium, product.ready["ui"], shots)

    author.open("/login")
    author.look("login")
    author.first_login(*product.login_of("author"))
    author.look("overview-empty")

    campaign = write(author, recipients)
    review_and_submit(author)
    decide(moderator, product, campaign)
    watch(author, campaign)
    look_at_the_rest(author, moderator, root, product)

    assert author.offences + moderator.offences + root.offences == []


def write(author: Person, recipients: Path) -> str:
    """A draft with its text, its recipients and a column put in by its chip. The campaign's id."""
    page = author.page
    page.get_by_role("link", name="New campaign").first.click()
    page.get_by_label("Name", exact=True).fill("Order ready")
    page.get_by_label("Sender").select_option(label="Heliograph")
    page.get_by_label("Text", exact=True).fill(TEXT)
    expect(page.locator("#measure").get_by_text("GSM, 160 characters a part")).to_be_visible()
    author.look("campaign-new")
    page.get_by_role("button", name="Save and add recipients").click()
    expect(page.get_by_role("heading", name="Recipients")).to_be_visible()
    author.look("campaign-draft")

    page.get_by_label("Recipient file").set_input_files(recipients)
    expect(page.locator("[data-upload-state=complete]")).to_be_visible(timeout=PATIENCE_MS)
    panel = page.locator("#recipients")
    for term, value in (
        ("Rows", RECIPIENTS + 2),
        ("Recipients", RECIPIENTS),
        ("Duplicates", 1),
        ("Job errors", 1),
    ):
        expect(
            panel.locator(".ledger-line > div", has=page.get_by_text(term, exact=True)).locator("dd")
        ).to_have_text(str(value))

    text = page.get_by_label("Text", exact=True)
    text.evaluate("(field, at) => { field.focus(); field.setSelectionRange(at, at); }", TEXT.index(","))
    page.get_by_role("button", name="name", exact=True).click()
    expect(text).to_have_value(TEXT.replace("Hello ", "Hello {{name}}"))
    expect(page.locator(".bubble").first).to_contain_text("Hello Zoë, your order")
    author.look("campaign-written")
    return re.search(r"/campaigns/([0-9a-f-]{36})", page.url).group(1)  # type: ignore[union-attr]


def review_and_submit(author: Person) -> None:
    page = author.page
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_text(f"approve {RECIPIENTS} messages from Heliograph")).to_be_visible()
    expect(page.get_by_text("UCS-2").first).to_be_visible()
    expect(page.locator(".glyphs").get_by_text("Ł")).to_be_visible()
    author.look("campaign-review")
    page.get_by_role("button", name="Submit for approval").click()
    expect(page.get_by_role("heading", name="Order ready")).to_be_visible()
    expect(page.get_by_text("Waiting for a moderator", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    author.look("campaign-pending")


def decide(moderator: Person, product: Stack, campaign: str) -> None:
    page = moderator.page
    moderator.first_login(*product.login_of("moderator"))
    expect(page.get_by_role("link", name="Moderation 1 waiting")).to_be_visible()
    page.get_by_role("link", name="Moderation 1 waiting").click()
    moderator.look("moderation-queue")
    page.get_by_role("link", name="Decide Order ready").click()
    expect(page.locator(".bubble").first).to_contain_text("Hello Zoë, your order")
    moderator.look("moderation-decision")
    page.get_by_role("button", name="Reject").click()
    moderator.look("moderation-reject")
    page.get_by_role("button", name="Keep in the queue").click()
    page.get_by_role("button", name="Approve and send").click()
    page.wait_for_url(f"**/campaigns/{campaign}*")


def watch(author: Person, campaign: str) -> None:
    """The author's page turns live by itself; paused, resumed, and watched to the end."""
    page = author.page
    expect(page.get_by_text("Sending", exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused", exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    author.look("campaign-paused")
    page.get_by_role("button", name="Cancel …").click()
    expect(page.locator("[data-cancel-size]")).to_have_text(
        re.compile(r"^\d+ recipients will not be sent to\.$")
    )
    author.look("campaign-cancel")
    page.get_by_role("button", name="Keep sending").click()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("[data-badge]")).to_have_text("Sending", timeout=PATIENCE_MS)
    author.look("campaign-live")
    expect(page.locator("[data-badge]")).to_have_text("Done", timeout=PATIENCE_MS)
    expect(page.locator("[data-link]")).to_have_text("Final", timeout=PATIENCE_MS)
    figures = {key: tile(page, key) for key in ("delivered", "in_flight", "failed", "in_doubt", "unsent")}
    assert figures["delivered"] + figures["failed"] == RECIPIENTS
    assert figures["in_flight"] == figures["in_doubt"] == figures["unsent"] == 0
    author.look("campaign-done")
    for tab, seen in (
        ("Job errors", "not_a_number"),
        ("Message errors", None),
        ("Activity", "Sending began"),
        ("Recipients", "…"),
    ):
        page.get_by_role("link", name=tab, exact=True).click()
        expect(page.locator(".tabs [aria-current]")).to_have_text(tab)
        if seen:
            expect(page.locator("#tabs").get_by_text(seen).first).to_be_visible()
        author.look(f"campaign-tab-{tab.lower().replace(' ', '-')}")
    assert "+4915123" not in page.content()
    assert "4915123000" not in page.content()


def tile(page: Any, key: str) -> int:
    return int(page.locator(f"[data-tile={key}] [data-figure]").inner_text().replace(",", ""))


def look_at_the_rest(author: Person, moderator: Person, root: Person, product: Stack) -> None:
    for name, path in (
        ("overview", "/"),
        ("campaigns", "/campaigns"),
        ("doubts-empty", "/doubts"),
        ("senders", "/senders"),
        ("channels", "/channels"),
        ("account", "/account"),
        ("not-found", "/nowhere"),
        ("forbidden", "/moderation"),
    ):
        author.open(path)
        expect(author.page.locator("h1")).to_be_visible()
        author.look(name)
    moderator.open("/moderation")
    expect(moderator.page.get_by_text("Nothing waits")).to_be_visible()
    moderator.look("moderation-empty")
    root.first_login(*product.login_of("super admin"))
    expect(root.page.get_by_role("rowheader", name="Demo")).to_be_visible()
    root.look("workspaces")


def test_the_keyboard_alone_finds_the_way(product: Stack, chromium: Browser, shots: Path) -> None:
    """From the address to the content: the skip link is first, focus can be seen, nothing traps it."""
    page = Person(chromium, product.ready["ui"], shots).page
    page.goto(product.ready["ui"] + "/login")
    page.keyboard.press("Shift+Tab")  # the first field has the focus from the start
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    seen = []
    for _step in range(4):
        page.keyboard.press("Tab")
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) == "solid"
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert seen[:2] == ["email", "password"]
    assert seen[3] == "Log in"
