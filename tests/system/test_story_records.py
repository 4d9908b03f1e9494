"""Records in Chromium: an export to the file, the archive and back, a number found, erased and certified."""

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_page import ARGUMENTS, CHROMIUM, Person
from playwright.sync_api import Browser, expect, sync_playwright

from bench.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.slow]

RECIPIENTS = 60
NUMBER = "+49 151 2300 0007"
DIGITS = "4915123000007"
PATIENCE_MS = 90_000


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("records"), ["--tps", "50"])
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


def test_records_are_exported_archived_and_a_number_erased(
    product: Stack, chromium: Browser, shots: Path, tmp_path: Path
) -> None:
    file = tmp_path / "recipients.csv"
    file.write_text("msisdn\n" + "".join(f"+4915123{number:06d}\n" for number in range(RECIPIENTS)))
    author, moderator, root = (Person(chromium, product.ready["ui"], shots) for _ in range(3))
    author.first_login(*product.login_of("author"))
    author.open("/exports")
    expect(author.page.get_by_text("No export yet")).to_be_visible()
    author.look("exports-empty")
    author.open("/archive")
    expect(author.page.get_by_text("Nothing is archived")).to_be_visible()
    author.look("archive-empty")
    campaign = write(author, file)
    moderator.first_login(*product.login_of("moderator"))
    moderator.open(f"/moderation/{campaign}")
    moderator.page.get_by_role("button", name="Approve and send").click()
    expect(author.page.locator("[data-badge]")).to_have_text("Done", timeout=PATIENCE_MS)
    export(author, campaign, tmp_path)
    archive(author, campaign)
    root.first_login(*product.login_of("super admin"))
    erase(root, author)
    assert author.offences + moderator.offences + root.offences == []


def write(author: Person, file: Path) -> str:
    page = author.page
    author.open("/campaigns/new")
    page.get_by_label("Name", exact=True).fill("=Order ready")
    page.get_by_label("Sender", exact=True).select_option(label="Heliograph")
    page.get_by_label("Text", exact=True).fill("Your order is ready.")
    page.get_by_role("button", name="Save and add recipients").click()
    page.get_by_label("Recipient file").set_input_files(file)
    expect(page.locator("[data-upload-state=complete]")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Review").click()
    page.get_by_role("button", name="Submit for approval").click()
    expect(page.get_by_text("Waiting for a moderator", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    return re.search(r"/campaigns/([0-9a-f-]{36})", page.url).group(1)  # type: ignore[union-attr]


def export(author: Person, campaign: str, folder: Path) -> None:
    page = author.page
    author.open("/exports/new")
    author.look("export-period")
    page.get_by_label("From").fill("2001-01-01")
    page.get_by_label("To", exact=True).fill("2001-01-02")
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.get_by_text("No campaign was sent in these days.")).to_be_visible()
    author.look("export-wrong")
    author.open(f"/campaigns/{campaign}")
    page.get_by_role("link", name="Export records").click()
    author.look("export-new")
    page.get_by_role("button", name="Export", exact=True).click()
    link = page.get_by_role("link", name="Download Order-ready.csv")
    expect(link).to_be_visible(timeout=PATIENCE_MS)
    author.look("exports")
    with page.expect_download() as download:
        link.click()
    saved = folder / "saved.csv"
    download.value.save_as(saved)
    with saved.open(newline="") as rows:
        found = list(csv.DictReader(rows))
    assert len(found) == RECIPIENTS
    assert {row["campaign"] for row in found} == {"'=Order ready"}
    assert "4915123" not in saved.read_text()
    assert {row["state"] for row in found} <= {"DELIVERED", "UNDELIVERED", "FAILED", "SUBMITTED_OPERATOR"}


def archive(author: Person, campaign: str) -> None:
    page = author.page
    author.open(f"/campaigns/{campaign}")
    page.get_by_role("button", name="Archive").click()
    expect(page.get_by_text("Nothing of it is gone")).to_be_visible()
    author.look("campaign-archived")
    author.open("/archive")
    author.look("archive")
    page.get_by_role("button", name="Restore =Order ready").click()
    expect(page.get_by_text("It is back in the lists.")).to_be_visible()


def erase(root: Person, author: Person) -> None:
    page = root.page
    page.get_by_role("button", name="Open Demo").click()
    root.open("/people-data")
    expect(page.get_by_text("No number was erased in this workspace.")).to_be_visible()
    root.look("people-data-empty")
    page.get_by_label("Phone number").fill("nobody")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#number-error")).to_be_visible()
    root.look("people-data-wrong")
    page.get_by_label("Phone number").fill(NUMBER)
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#found").get_by_role("rowheader", name="Recipient files")).to_be_visible()
    assert DIGITS not in page.url
    root.look("people-data-found")
    page.get_by_role("button", name="Erase …").click()
    page.get_by_label("The number once more").fill(NUMBER)
    page.get_by_label("Reason").fill("asked for")
    root.look("people-data-erase")
    page.get_by_role("button", name="Erase the number").click()
    expect(page.get_by_role("heading", name="Certificate of erasure")).to_be_visible(timeout=PATIENCE_MS)
    assert DIGITS not in page.content()
    root.look("people-data-certificate")
    root.open("/people-data")
    root.look("people-data")
    author.open("/exports")
    expect(author.page.get_by_text("A person's number in it was erased.")).to_be_visible()
    author.look("exports-removed")
