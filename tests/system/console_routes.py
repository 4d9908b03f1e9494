"""Routes and money as people at the console set them up: steps of a story, with what they must see."""

import re
from pathlib import Path

from console_page import Person
from playwright.sync_api import Page, expect

PATIENCE_MS = 90_000
GERMAN, INDIAN, AMERICAN = "4915123", "9198765", "1202555"
EACH = 30
NOWHERE = 3
PRICES = ",0.0500,,\n91,0.0120,,\n91,0.0100,,otp\n"


def numbers(prefix: str, count: int = EACH) -> list[str]:
    """Whole numbers of a country: +49 151 23…, +91 98765…, +1 202 555…."""
    width = 4 if prefix == AMERICAN else 6 if prefix == GERMAN else 5
    return [f"{prefix}{number:0{width}d}" for number in range(100, 100 + count)]


def recipient_file(folder: Path) -> Path:
    """German and Indian numbers, and a few that no route leads to."""
    lines = [*numbers(GERMAN), *numbers(INDIAN), *numbers(AMERICAN, NOWHERE)]
    file = folder / "two-countries.csv"
    file.write_text("msisdn\n" + "".join(f"+{line}\n" for line in lines))
    return file


def add_routes(root: Person, first: str, second: str) -> None:
    """+49 over the first channel; +91 over the second, and over the first where that is down."""
    page = root.page
    root.open("/routes")
    expect(page.get_by_text("Without routes a campaign names its channel")).to_be_visible()
    root.look("routes-empty")
    page.get_by_role("link", name="Add a route").click()
    page.get_by_label("Name", exact=True).fill("Germany")
    page.get_by_label("Prefix", exact=True).fill("forty-nine")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#prefix-error")).to_be_visible()
    expect(page.locator("#channels-error")).to_have_text("Choose at least one channel.")
    root.look("route-wrong")
    page.get_by_label("Prefix", exact=True).fill("+49")
    page.get_by_label("Channel, line 1").select_option(first)
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("rowheader", name="Germany")).to_be_visible()
    page.get_by_role("link", name="Duplicate Germany").click()
    page.get_by_label("Name", exact=True).fill("India")
    page.get_by_label("Prefix", exact=True).fill("91")
    page.get_by_label("Channel, line 1").select_option(second)
    page.get_by_label("Channel, line 2").select_option(first)
    page.get_by_label("Tier, line 2").fill("2")
    root.look("route-new")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("rowheader", name="India")).to_be_visible()
    root.look("routes")


def ask(root: Person, first: str, second: str) -> None:
    """The page answers in place, in one sentence."""
    page = root.page
    answer = page.locator("#answer")
    for number, said in (
        ("+49 151 23000100", f"It goes over {first}."),
        ("+1 202 555 0100", "It goes nowhere."),
        ("+91 98765 00100", f"It goes over {second}."),
    ):
        page.get_by_label("Number", exact=True).fill(number)
        page.get_by_role("button", name="Ask").click()
        expect(answer.locator("strong")).to_have_text(said)
    expect(answer.locator(".order li")).to_have_count(2)
    expect(answer.get_by_role("row", name=re.compile("Germany"))).to_contain_text("does not begin with 49")
    root.look("routes-asked")
    page.get_by_label("Number", exact=True).fill("x")
    page.get_by_role("button", name="Ask").click()
    expect(answer.get_by_text("Not asked")).to_be_visible()


def change_late(root: Person) -> None:
    """Two people edit one route: the second is shown both, and nothing of theirs is lost."""
    page = root.page
    root.open("/routes")
    page.get_by_role("link", name="India", exact=True).click()
    with root.context.new_page() as other:
        other.goto(page.url)
        other.get_by_label("Position").fill("40")
        other.get_by_role("button", name="Save").click()
        expect(other.get_by_text("Campaigns that begin from now on go by it")).to_be_visible()
    page.get_by_label("Position").fill("70")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("somebody changed this route after you opened it")).to_be_visible()
    expect(page.get_by_role("alert").get_by_text("position: 40 → 70")).to_be_visible()
    root.look("route-late")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name=re.compile("India"))).to_contain_text("70")
    page.get_by_role("link", name="India", exact=True).click()
    expect(page.get_by_text("position: 40 → 70").first).to_be_visible()
    root.look("route-edit")
    page.get_by_role("button", name="Delete …").click()
    expect(page.locator("#delete-dialog")).to_contain_text("Delete the route India?")
    root.look("route-delete")
    page.get_by_role("button", name="Keep it").click()


def publish_and_credit(root: Person, channel: str) -> None:
    """A price list and a wallet; what is wrong is said first."""
    page = root.page
    root.open("/prices")
    expect(page.get_by_text("No price list yet")).to_be_visible()
    root.look("prices-empty")
    page.get_by_label("Prices as CSV").fill("prefix,price\n91,0,012")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#csv-error")).to_contain_text("Line 2")
    root.look("prices-wrong")
    rates = f"prefix,price,channel,category\n{PRICES}49,0.0400,{channel},\n"
    page.get_by_label("Prices as CSV").fill(rates)
    page.get_by_label("Note").fill("Spring")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("Counts now")).to_be_visible()
    root.look("prices")
    page.get_by_role("link", name="List 1").click()
    expect(page.get_by_role("rowheader", name="Every other number")).to_be_visible()
    root.look("price-list")
    root.open("/wallets")
    root.look("wallets")
    page.get_by_role("link", name="Open a wallet Demo").click()
    page.get_by_label("Amount").fill("125,50")
    page.get_by_label("Currency").fill("EUR")
    page.get_by_label("Note").fill("Invoice 7")
    page.get_by_role("button", name="Book it").click()
    expect(page.locator("#amount-error")).to_be_visible()
    root.look("wallet-wrong")
    page.get_by_label("Amount").fill("125.50")
    page.get_by_role("button", name="Book it").click()
    expect(page.locator(".tile", has_text="Balance")).to_contain_text("125.50 EUR")
    root.look("wallet-credited")


def write(author: Person, file: Path, channel: str) -> str:
    """A campaign over `channel` (as the form calls it), express, of a category. Its id."""
    page = author.page
    author.open("/wallet")
    author.look("wallet")
    author.open("/campaigns/new")
    page.get_by_label("Name", exact=True).fill("Two countries")
    page.get_by_label("Sender", exact=True).select_option(label="Heliograph")
    page.get_by_label("Text", exact=True).fill("Your code is 2719.")
    page.get_by_text("Sending options").click()
    expect(page.get_by_label("Channel", exact=True)).to_have_value("/routes")
    page.get_by_label("Channel", exact=True).select_option(label=channel)
    page.get_by_label("Category", exact=True).fill("otp")
    page.get_by_text("Express", exact=True).click()
    author.look("campaign-options")
    page.get_by_role("button", name="Save and add recipients").click()
    page.get_by_label("Recipient file").set_input_files(file)
    expect(page.locator("[data-upload-state=complete]")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_text("Express: before all that is bulk")).to_be_visible()
    author.look("campaign-review-routes")
    page.get_by_role("button", name="Submit for approval").click()
    expect(page.get_by_text("Waiting for a moderator", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    author.look("campaign-pending-routes")
    return re.search(r"/campaigns/([0-9a-f-]{36})", page.url).group(1)  # type: ignore[union-attr]


def decide(moderator: Person, channel: str) -> None:
    """The moderator sees the way, the category and the lane before anything goes out."""
    page = moderator.page
    moderator.open("/moderation")
    expect(page.get_by_role("row", name=re.compile("Two countries"))).to_contain_text("Express")
    moderator.look("moderation-express")
    page.get_by_role("link", name="Decide Two countries").click()
    facts = page.locator(".facts-line")
    for said in (channel, "Express: before all that is bulk", "otp"):
        expect(facts).to_contain_text(said)
    moderator.look("moderation-decision-routes")
    page.get_by_role("button", name="Approve and send").click()
    page.wait_for_url("**/campaigns/*")


def watch(author: Person, campaign: str) -> None:
    """To the end; then the ids of messages, for a trace."""
    page = author.page
    author.open(f"/campaigns/{campaign}")
    expect(page.locator("[data-badge]")).to_have_text("Done", timeout=PATIENCE_MS)
    expect(page.locator("[data-link]")).to_have_text("Final", timeout=PATIENCE_MS)
    expect(page.get_by_role("button", name=re.compile("Copy the message id")).first).to_be_visible()


def goes_over(page: Page, channel: str, *figures: int) -> None:
    """What the live page says of one channel: sent and planned; of numbers without a route only planned."""
    row = page.locator("#over-channels tbody tr", has=page.get_by_role("rowheader", name=channel, exact=True))
    for place, figure in enumerate(figures):
        expect(row.locator("td.n").nth(place)).to_have_text(str(figure), timeout=PATIENCE_MS)
