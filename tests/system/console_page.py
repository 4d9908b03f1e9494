"""A person at the console in Chromium: what they see is kept as screenshots, and axe looks at every page."""

import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
AXE = Path(__file__).parent / "vendor/axe-4.14.1.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PASSWORD = "three unrelated words"
SIZES = {"1440": (1440, 900), "390": (390, 844)}
THEMES = ("light", "dark")


class Person:
    """Somebody with a browser of their own. `offences` gathers what the console must not do."""

    def __init__(self, browser: Browser, url: str, shots: Path) -> None:
        self.url = url
        self.shots = shots
        self.offences: list[str] = []
        self.context: BrowserContext = browser.new_context(
            viewport={"width": 1440, "height": 900}, reduced_motion="reduce"
        )
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.offences.append(f"script error: {error}"))
        self.page.on("console", self._note)

    def _note(self, message: Any) -> None:
        refused = "Content Security Policy" in message.text or "Refused to" in message.text
        if refused or (message.type == "error" and "status of" not in message.text):
            self.offences.append(f"console: {message.text} at {self.page.url}")

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def first_login(self, email: str, one_time: str) -> None:
        """With the one-time password, which must be replaced at once."""
        self.open("/login")
        self.page.get_by_label("Email").fill(email)
        self.page.get_by_label("Password", exact=True).fill(one_time)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("heading", name="Choose your password")).to_be_visible()
        self.look("first-password")
        self.page.get_by_label("New password", exact=True).fill(PASSWORD)
        self.page.get_by_label("New password, again").fill(PASSWORD)
        self.page.get_by_role("button", name="Set password").click()
        expect(self.page.get_by_text("Your password is set")).to_be_visible()

    def look(self, name: str) -> None:
        """Screenshots in both sizes and themes; in each, axe; no sideways scrolling, also not at 1920 px."""
        for size, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            for theme in THEMES:
                self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
                self.page.evaluate("scrollTo(0, 0)")
                self.page.screenshot(path=self.shots / f"{name}-{size}-{theme}.png", full_page=True)
                self.offences += [f"{name} {size} {theme}: {found}" for found in self._serious()]
            self._fits(f"{name} {size}")
        self.page.set_viewport_size({"width": 1920, "height": 1080})
        self._fits(f"{name} 1920")
        self.page.set_viewport_size({"width": 1440, "height": 900})
        self.page.emulate_media(color_scheme="light", reduced_motion="reduce")

    def _fits(self, what: str) -> None:
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        if (over := self.page.evaluate(wide)) > 0:
            self.offences.append(f"{what}: {over} px too wide")

    def _serious(self) -> list[str]:
        # Through the protocol's own evaluation: the page's content policy stays as it is.
        if not self.page.evaluate("typeof axe === 'object'"):
            session = self.context.new_cdp_session(self.page)
            session.send("Runtime.evaluate", {"expression": AXE.read_text() + ";0"})
            session.detach()
        found = self.page.evaluate(
            "rules => axe.run(document, {runOnly: rules}).then(answer => answer.violations)", RULES
        )
        return [
            f"{violation['id']}: {violation['nodes'][0]['html'][:200]}"
            for violation in found
            if violation["impact"] in ("serious", "critical")
        ]
