"""One account at work in this process: its binds, what feeds them, and the campaigns that go over it."""

import time
from dataclasses import dataclass, field

from engine.channels.interface import Account
from engine.dispatch.account import AccountBinds
from engine.dispatch.campaign import CampaignRun
from engine.dispatch.claims import Claim
from engine.dispatch.feeder import Feeder
from engine.dispatch.planner import LegKey
from engine.dispatch.sender import Sender


@dataclass(slots=True)
class Working:
    account: Account
    binds: AccountBinds
    feeder: Feeder
    runs: dict[LegKey, CampaignRun] = field(default_factory=dict)

    def cut(self, run: CampaignRun | None) -> None:
        """Begin nothing more of a campaign (or of all): queued claims end and their rows go back."""
        for each in [run] if run else list(self.runs.values()):
            self.feeder.remove(each)
        for sender in self.binds.senders:
            self.release(sender.drop(run))
        self.binds.pump()

    def lost(self, sender: Sender, dropped: list[Claim]) -> None:
        self.feeder.offers.disown(sender)
        self.release(dropped)

    def release(self, dropped: list[Claim]) -> None:
        now = time.monotonic()
        for claim in dropped:
            self.feeder.give_back(claim, self.binds.book.release(claim, now))
