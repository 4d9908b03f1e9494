"""An author and a moderator at the console of a lab."""

from typing import Any

from bench.chaos.lab import recipient_file
from bench.people import Person


class People:
    """Logged in with the one-time passwords of the control plane's first start."""

    def __init__(self, ready: dict[str, Any]) -> None:
        url = f"http://127.0.0.1:{ready['ui']}"
        logins = {login["role"].lower(): login for login in ready["first_logins"]}
        self._author, self._moderator = (
            Person(url, logins[role]["email"], logins[role]["password"]) for role in ("author", "moderator")
        )

    def submit(self, numbers: range) -> str:
        """Returns the campaign's id; it waits for its decision."""
        campaign = self._author.create_campaign("Chaos", "Hello {{name}}")
        content = recipient_file(numbers)
        self._author.upload(campaign, "chaos.csv", len(content), iter([content]))
        self._author.submit(campaign)
        return campaign

    def approve(self, campaign: str) -> None:
        self._moderator.approve(campaign)

    def close(self) -> None:
        for person in (self._author, self._moderator):
            person.__exit__(None, None, None)
