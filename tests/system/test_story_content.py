"""Sender IDs and templates in Chromium: requested, compared, decided; written with a live preview.

Screenshots go where the other stories' go.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_page import ARGUMENTS, CHROMIUM, Person
from playwright.sync_api import Browser, expect, sync_playwright

from bench.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("content"), ["--tps", "20"])
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


def test_senders_and_templates_from_the_request_to_a_campaign(
    product: Stack, chromium: Browser, shots: Path
) -> None:
    author = Person(chromium, product.ready["ui"], shots)
    moderator = Person(chromium, product.ready["ui"], shots)
    author.first_login(*product.login_of("author"))
    moderator.first_login(*product.login_of("moderator"))

    page = request_sender(author)
    decide_sender(moderator, page)
    change_sender(author, moderator, page)
    write_template(author)
    use_template(author)
    archive_sender(moderator, page)
    assert author.offences + moderator.offences == []


def request_sender(author: Person) -> str:
    page = author.page
    author.open("/senders")
    author.look("senders")
    page.get_by_role("link", name="Request a sender").click()
    page.get_by_label("Address").fill("My Shop")
    page.get_by_label("Purpose").fill("Orders and returns")
    page.get_by_role("button", name="Submit for approval").click()
    expect(page.get_by_text("no spaces").last).to_be_visible()
    author.look("sender-wrong")
    page.get_by_label("Address").fill("Shop")
    page.get_by_role("button", name="Submit for approval").click()
    expect(page.get_by_text("waits for a moderator")).to_be_visible()
    author.look("sender-pending")
    return page.url.partition("?")[0].removeprefix(author.url)


def decide_sender(moderator: Person, path: str) -> None:
    page = moderator.page
    moderator.open(path)
    page.get_by_role("link", name="Decide").click()
    expect(page.get_by_text("Approving lets campaigns")).to_be_visible()
    moderator.look("sender-decision")
    page.get_by_role("button", name="Reject").click()
    moderator.look("sender-reject")
    page.get_by_role("button", name="Decide later").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Approved. Campaigns can choose it.")).to_be_visible()


def change_sender(author: Person, moderator: Person, path: str) -> None:
    """The address of an approved sender: its next revision, and what differs."""
    page = author.page
    author.open(path)
    page.get_by_role("link", name="Change it").click()
    author.look("sender-change")
    page.get_by_label("Address").fill("MyShop")
    page.get_by_label("Principal entity id").fill("1101172974420810001")
    page.get_by_role("button", name="Submit for approval").click()
    expect(page.locator("ins", has_text="MyShop")).to_be_visible()
    author.look("sender-differences")
    moderator.open(path)
    moderator.page.get_by_role("link", name="Decide").click()
    expect(moderator.page.locator("del", has_text="Shop")).to_be_visible()
    moderator.look("sender-decision-differences")
    moderator.page.get_by_role("button", name="Approve").click()
    expect(moderator.page.get_by_role("heading", name="MyShop")).to_be_visible()


def write_template(author: Person) -> None:
    page = author.page
    author.open("/templates")
    author.look("templates-empty")
    page.get_by_role("link", name="New template").click()
    page.get_by_label("Name", exact=True).fill("order-ready")
    page.get_by_label("Text", exact=True).fill("Hello {{name}}, your order {{code}} is ready for collection.")
    sample = page.get_by_label("Sample of name")
    expect(sample).to_be_visible()
    sample.fill("Łucja")
    page.get_by_label("Sample of code").fill("A-4711")
    expect(page.locator(".bubble").first).to_contain_text("Hello Łucja, your order A-4711")
    expect(page.locator("#measure").get_by_text("UCS-2, 70 characters a part")).to_be_visible()
    expect(sample).to_have_value("Łucja")
    page.get_by_text("Registered content in India").click()
    page.get_by_label("DLT template id").fill("1107160000000012345")
    page.get_by_label("Text as registered").fill(
        "Hello {#var#}, your parcel {#var#} is ready for collection."
    )
    author.look("template-new")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("The text differs from its registered form")).to_be_visible()
    author.look("template-failed")
    page.get_by_role("link", name="New version").click()
    page.get_by_label("Text as registered").fill("Hello {#var#}, your order {#var#} is ready for collection.")
    author.look("template-edit")
    page.get_by_role("button", name="Save this version").click()
    expect(page.get_by_text("Approved. Campaigns can choose it.")).to_be_visible()
    author.look("template")
    author.open("/templates")
    expect(page.get_by_role("link", name="order-ready")).to_be_visible()
    author.look("templates")
    author.open("/templates?status=REJECTED")
    author.look("templates-none")


def use_template(author: Person) -> None:
    page = author.page
    author.open("/campaigns/new")
    page.get_by_label("Name", exact=True).fill("Orders")
    page.get_by_label("Sender").select_option(label="MyShop")
    page.get_by_label("Template", exact=True).select_option(label="order-ready, version 2")
    text = page.get_by_label("Text", exact=True)
    expect(text).to_have_value("Hello {{name}}, your order {{code}} is ready for collection.")
    expect(page.locator(".bubble").first).to_contain_text("your order")
    assert not text.is_editable()
    author.look("campaign-template")
    page.get_by_role("button", name="Save and add recipients").click()
    expect(page.get_by_role("heading", name="Recipients")).to_be_visible()


def archive_sender(moderator: Person, path: str) -> None:
    page = moderator.page
    moderator.open(path)
    page.get_by_role("button", name="Archive").click()
    moderator.look("sender-archive")
    page.get_by_role("dialog").get_by_role("button", name="Archive").click()
    expect(page.get_by_text("Nobody can choose it").first).to_be_visible()
    moderator.look("sender-archived")
    moderator.open("/senders?show=all")
    moderator.look("senders-archived")
