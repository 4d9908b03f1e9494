"""Workspaces and members in Chromium: one is created, set up, suspended and resumed; a member gets a role.

Screenshots go to HELIOGRAPH_SCREENSHOTS, or to the test's folder; axe looks at every page.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_page import ARGUMENTS, CHROMIUM, Person
from playwright.sync_api import Browser, expect, sync_playwright

from bench.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("workspaces"), ["--tps", "20"])
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


def test_a_workspace_from_its_creation_to_its_members(product: Stack, chromium: Browser, shots: Path) -> None:
    root = Person(chromium, product.ready["ui"], shots)
    author = Person(chromium, product.ready["ui"], shots)
    root.open("/login")
    root.first_login(*product.login_of("super admin"))
    page = root.page
    root.look("workspaces")

    page.get_by_role("link", name="New workspace").click()
    root.look("workspace-new")
    page.get_by_label("Name", exact=True).fill("Demo")
    page.get_by_label("Time zone").fill("Nowhere/Land")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("no IANA time zone")).to_be_visible()
    root.look("workspace-new-wrong")
    page.get_by_label("Name", exact=True).fill("North Sea")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_label("Default country").fill("DE")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="North Sea")).to_be_visible()
    root.look("workspace-manage")
    page.get_by_role("button", name="Open", exact=True).click()
    page.get_by_role("link", name="Members").click()
    expect(page.get_by_text("Nobody works here yet")).to_be_visible()
    root.look("members-empty")

    suspend(root, author, product)
    members(root)
    settings(root)
    assert root.offences + author.offences == []


def suspend(root: Person, author: Person, product: Stack) -> None:
    """Its people read why on every page, until it is resumed."""
    page = root.page
    author.open("/login")
    author.first_login(*product.login_of("author"))
    root.open("/workspaces")
    page.get_by_role("link", name="Demo", exact=True).click()
    page.get_by_label("Reason").fill("The invoice of May is unpaid")
    page.get_by_role("button", name="Suspend Demo").click()
    expect(page.get_by_text("The invoice of May is unpaid")).to_be_visible()
    root.look("workspace-suspended")
    author.open("/")
    expect(author.page.get_by_text("Demo is suspended")).to_be_visible()
    expect(author.page.get_by_role("link", name="New campaign")).to_have_count(0)
    author.look("overview-suspended")
    author.open("/campaigns/new")
    expect(author.page.get_by_role("heading", name="Suspended")).to_be_visible()
    author.look("refused-suspended")
    page.get_by_role("button", name="Resume").click()
    author.open("/campaigns/new")
    expect(author.page.get_by_label("Name", exact=True)).to_be_visible()


def members(root: Person) -> None:
    page = root.page
    root.open("/workspaces")
    page.get_by_role("button", name="Open Demo").click()
    page.get_by_role("link", name="Members").click()
    root.look("members")
    page.get_by_role("link", name="Demo Author").click()
    page.get_by_label("Moderates too").check()
    root.look("member")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("It counts from their next request on").first).to_be_visible()
    expect(page.get_by_text(re.compile("Author, moderates"))).to_be_visible()
    page.get_by_role("button", name="Remove …").click()
    root.look("member-remove")
    page.get_by_role("button", name="Keep them").click()


def settings(root: Person) -> None:
    page = root.page
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Time zone").fill("Asia/Kolkata")
    page.get_by_label("From").fill("21:00")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("A time of day")).to_be_visible()
    root.look("settings-wrong")
    page.get_by_label("To", exact=True).fill("09:00")
    page.get_by_label("Kept for").select_option(label="1 year (PCI DSS)")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    root.look("settings")
