"""The audit in Chromium: with real data, filtered to nothing, with a wrong filter, in a campaign's tab."""

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
    with Stack(tmp_path_factory.mktemp("audit-story"), ["--tps", "20"]) as running:
        yield running


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


def test_a_moderator_reads_the_audit(product: Stack, chromium: Browser, shots: Path, tmp_path: Path) -> None:
    author = Person(chromium, product.ready["ui"], shots)
    moderator = Person(chromium, product.ready["ui"], shots)
    author.first_login(*product.login_of("author"))
    moderator.first_login(*product.login_of("moderator"))
    campaign = write_and_submit(author, tmp_path)
    approve(moderator, campaign)

    page = moderator.page
    moderator.open("/audit")
    row = page.locator("details", has_text="Campaign: submit").filter(has_text="Spring")
    expect(row.first).to_be_visible()
    moderator.look("audit")
    row.first.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(row.first.get_by_text("campaign.submit", exact=True)).to_be_visible()
    moderator.look("audit-entry")
    row.first.get_by_role("link", name="All of this thing").click()
    expect(page.get_by_role("navigation", name="Filters in force")).to_contain_text(campaign)
    expect(page.locator("ol.audit > li").first).to_contain_text("Spring")
    page.get_by_label("Who").fill("nobody@demo.example")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("Nothing fits")).to_be_visible()
    moderator.look("audit-empty")
    page.go_back()
    expect(page.locator("ol.audit > li").first).to_contain_text("Spring")
    moderator.open("/audit?since=yesterday&target=x")
    expect(page.get_by_text("This is no day")).to_be_visible()
    moderator.look("audit-wrong")
    moderator.open("/audit")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").click()
    assert "campaign.submit" in download.value.path().read_text()
    moderator.open("/audit?action=audit.export")
    expect(page.locator("ol.audit > li")).to_have_count(1)

    for person, name in ((moderator, "campaign-tab-audit"), (author, "campaign-tab-audit-author")):
        person.open(f"/campaigns/{campaign}?tab=audit")
        expect(person.page.locator("#tabs").get_by_text("Campaign: approve").first).to_be_visible()
        person.look(name)
    assert author.offences + moderator.offences == []


def write_and_submit(author: Person, folder: Path) -> str:
    page = author.page
    file = folder / "people.csv"
    file.write_text("".join(f"+49151{n:08d}\n" for n in range(40)))
    page.get_by_role("link", name="New campaign").first.click()
    page.get_by_label("Name", exact=True).fill("Spring")
    page.get_by_label("Sender").select_option(label="Heliograph")
    page.get_by_label("Text", exact=True).fill("Hello")
    page.get_by_role("button", name="Save and add recipients").click()
    page.get_by_label("Recipient file").set_input_files(file)
    expect(page.locator("[data-upload-state=complete]")).to_be_visible(timeout=60_000)
    campaign = page.url.split("/campaigns/")[1].split("?")[0].split("/")[0]
    page.get_by_role("button", name="Review").click()
    page.get_by_role("button", name="Submit for approval").click()
    expect(page.get_by_text("Waiting for a moderator", exact=True)).to_be_visible(timeout=60_000)
    return campaign


def approve(moderator: Person, campaign: str) -> None:
    page = moderator.page
    moderator.open(f"/moderation/{campaign}")
    page.get_by_role("button", name="Approve and send").click()
    page.wait_for_url(f"**/campaigns/{campaign}*")
