"""No path skips a decision: whatever people do, nothing starts that nobody else approved."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.campaigns.model import CAMPAIGNS, Campaign
from control_plane.documents.store import DocumentStore
from control_plane.errors import ControlPlaneError

ACTS = (
    "submit", "withdraw", "edit", "rename", "discard", "upload", "open", "approve", "approve unopened",
    "approve own", "approve old", "reject", "reject own", "pause", "resume", "cancel", "reconcile",
    "engine away", "engine back",
)  # fmt: skip


@dataclass
class Walk:
    """One campaign, and what a bystander knows of it."""

    house: Any
    core: Any
    campaign: Campaign
    proofs: list[tuple[int, str, str]] = field(default_factory=list)  # revision, proof, manifest hash
    sealed: dict[str, tuple[object, ...]] = field(default_factory=dict)  # content by manifest hash

    async def now(self) -> Campaign:
        store: DocumentStore = self.house.services.store
        return await store.get(CAMPAIGNS, self.campaign.id)

    async def act(self, name: str) -> None:
        house, found = self.house, await self.now()
        services, campaign_id = house.services, found.id
        campaigns, moderation = services.campaigns, services.moderation
        calls: dict[str, Any] = {
            "submit": lambda: campaigns.submit(house.author, campaign_id),
            "withdraw": lambda: campaigns.withdraw(house.author, campaign_id),
            "edit": lambda: campaigns.edit(house.author, campaign_id, text=found.text + "!"),
            "rename": lambda: campaigns.edit(house.author, campaign_id, name=found.name[-80:] + "x"),
            "discard": lambda: campaigns.discard_upload(house.author, campaign_id),
            "upload": lambda: house.fill(campaign_id),
            "open": self._open,
            "approve": lambda: house.approve(house.moderator, found),
            "approve unopened": lambda: moderation.approve(house.moderator, campaign_id, found.revision, ""),
            "approve own": lambda: house.approve(house.author_who_decides, found),
            "approve old": self._approve_old,
            "reject": lambda: moderation.reject(house.moderator, campaign_id, found.revision, "no"),
            "reject own": lambda: moderation.reject(
                house.author_who_decides, campaign_id, found.revision, "no"
            ),
            "pause": lambda: campaigns.command(house.author, campaign_id, "pause"),
            "resume": lambda: campaigns.command(house.author, campaign_id, "resume"),
            "cancel": lambda: campaigns.command(house.author, campaign_id, "cancel"),
            "reconcile": services.reconciler.run_once,
            "engine away": lambda: self._away(True),
            "engine back": lambda: self._away(False),
        }
        before = found
        with suppress(ControlPlaneError):
            await calls[name]()
        await self._hold(name, before)

    async def _open(self) -> None:
        found, proof = await self.house.services.moderation.open(self.house.moderator, self.campaign.id)
        if proof:
            self.proofs.append((found.revision, proof, found.manifest_hash))

    async def _approve_old(self) -> None:
        """With a proof of some time ago: it counts only for what was looked at."""
        if self.proofs:
            revision, proof, _hash = self.proofs[0]
            moderation = self.house.services.moderation
            await moderation.approve(self.house.moderator, self.campaign.id, revision, proof)

    async def _away(self, away: bool) -> None:
        self.core.away = away

    async def _hold(self, name: str, before: Campaign) -> None:
        after = await self.now()
        if after.state == "Approved" and before.state != "Approved":
            assert name in ("approve", "approve old"), name
            assert before.state == "Pending"
            assert after.decision is not None
            assert after.decision.by_id not in after.contributors
            assert after.decision.manifest_hash == before.manifest_hash == after.manifest_hash != ""
        if after.state == "Pending":
            assert after.manifest_hash
            assert after.decision is None
            held = self.sealed.setdefault(after.manifest_hash, content(after))
            assert held == content(after), "one hash, one content"
        if after.state in ("Approved", "Pending", "Building") and before.state == after.state:
            assert content(after) == content(before), f"{name} changed what was submitted"
        if after.state == "New" and before.state == "Approved":
            assert name in ("reconcile",), "only the engine's refusal gives an approved one back"
        if after.note is not None and after.note.by == "Moderator":
            assert after.note.text == "no"
        for engine in self.core._campaigns.values():
            if engine.state in ("Sending", "Paused", "Cancelled"):
                assert after.state == "Approved"
                assert after.decision is not None
                assert engine.campaign_id == after.engine_id
                assert engine.manifest_hash == after.decision.manifest_hash
                assert engine.text == after.text


def content(campaign: Campaign) -> tuple[object, ...]:
    return (
        campaign.text,
        campaign.sender_revision_id,
        campaign.options,
        campaign.upload_id,
        campaign.channel,
        campaign.by_routes,
        campaign.category,
        campaign.in_doubt,
    )


@pytest.fixture
async def ready(house: Any, recipients_file: bytes, body: Any) -> Any:
    """The house with an author who may decide as well, and a file at hand."""
    draft = await house.draft()

    async def fill(campaign_id: Any) -> None:
        size = len(recipients_file)
        await house.services.campaigns.receive(
            house.author, campaign_id, body(recipients_file), offset=0, file_name="x.csv", size_bytes=size,
            length=size,
        )  # fmt: skip

    house.fill = fill
    house.author_who_decides = house.admin
    await house.services.campaigns.edit(house.admin, draft.id, text="By two of them")
    return house


@given(acts=st.lists(st.sampled_from(ACTS), min_size=3, max_size=14))
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def walk_of(acts: list[str], run: Any) -> None:
    run(acts)


async def test_no_path_skips_a_decision(ready: Any, core: Any) -> None:
    """Hypothesis chooses the walks beforehand; each has a campaign of its own."""
    walks: list[list[str]] = []
    await asyncio.to_thread(walk_of, run=walks.append)
    walks += [
        ["submit", "open", "withdraw", "edit", "submit", "approve old", "approve"],
        ["submit", "open", "approve old", "rename", "edit", "pause", "withdraw"],
        ["submit", "open", "rename", "approve old", "approve unopened", "approve own", "reject own"],
        ["engine away", "submit", "approve", "engine back", "reconcile", "approve", "approve"],
        ["submit", "reject", "submit", "reject", "edit", "submit", "approve", "cancel"],
        ["submit", "engine away", "approve", "withdraw", "engine back", "reconcile", "pause"],
    ]
    decided = 0
    for acts in walks:
        core.away = False
        core._campaigns.clear()
        draft = await ready.draft()
        await ready.services.campaigns.edit(ready.admin, draft.id, text="By two of them")
        walk = Walk(ready, core, draft)
        for act in acts:
            await walk.act(act)
        decided += (await walk.now()).decision is not None
    assert decided >= 4, "the walks must come to decisions to say anything"


Change = tuple[str, dict[str, Any]]
CHANGES: list[Change] = [
    ("text", {"text": "Other words"}),
    ("sender", {"sender": "Other"}),
    ("channel", {"channel": "/routes"}),
    ("category", {"options": {"category": "otp"}}),
    ("in doubt", {"options": {"in_doubt": "resend"}}),
    ("characters", {"options": {"charset_rule": "reject"}}),
    ("flash", {"options": {"flash": "1"}}),
    ("validity", {"options": {"validity_h": "3"}}),
    ("DLT entity", {"options": {"dlt_pe_id": "12345"}}),
    ("DLT template", {"options": {"dlt_pe_id": "12345", "dlt_template_id": "12345"}}),
]


async def other_sender(house: Any) -> None:
    proposed = await house.services.senders.propose(house.author, sender="Other")
    await house.services.senders.decide(house.moderator, proposed.id, approve=True)


@pytest.mark.parametrize(("what", "change"), CHANGES, ids=[name for name, _ in CHANGES])
async def test_a_change_after_the_approval_was_looked_at_voids_it(
    house: Any, what: str, change: dict[str, Any]
) -> None:
    """It takes a withdrawal first; what was opened before then approves nothing, and the seal is another."""
    await other_sender(house)
    campaigns, pending = house.services.campaigns, await house.pending()
    with pytest.raises(ControlPlaneError):
        await campaigns.edit(house.author, pending.id, **change)
    assert content(await campaigns.get(house.author, pending.id)) == content(pending)
    await campaigns.withdraw(house.author, pending.id)
    await campaigns.edit(house.author, pending.id, **change)
    if what == "channel":  # by routes needs a route
        return
    again = await campaigns.submit(house.author, pending.id)
    assert content(again) != content(pending)
    assert again.manifest_hash != pending.manifest_hash
    with pytest.raises(ControlPlaneError):
        await house.approve(house.moderator, pending)
    assert (await campaigns.get(house.author, pending.id)).state == "Pending"


@pytest.mark.parametrize("act", ["replace", "discard"])
async def test_another_file_after_submitting_voids_it(
    house: Any, act: str, recipients_file: bytes, body: Any
) -> None:
    campaigns, pending = house.services.campaigns, await house.pending()
    size = len(recipients_file)
    calls: dict[str, Any] = {
        "replace": lambda: campaigns.receive(
            house.author, pending.id, body(recipients_file), offset=0, file_name="x", size_bytes=size,
            length=size,
        ),
        "discard": lambda: campaigns.discard_upload(house.author, pending.id),
    }  # fmt: skip
    with pytest.raises(ControlPlaneError):
        await calls[act]()
    await campaigns.withdraw(house.author, pending.id)
    await calls[act]()
    with pytest.raises(ControlPlaneError):
        await house.approve(house.moderator, pending)
    assert (await campaigns.get(house.author, pending.id)).upload_id != pending.upload_id


async def test_a_change_of_the_name_voids_nothing(house: Any) -> None:
    """The seal stays; a moderator who has the page open looks at it once more."""
    campaigns, pending = house.services.campaigns, await house.pending()
    renamed = await campaigns.edit(house.author, pending.id, name="Better")
    assert (renamed.state, renamed.manifest_hash) == ("Pending", pending.manifest_hash)
    approved = await house.approve(house.moderator, renamed)
    again = await campaigns.edit(house.author, pending.id, name="Better still")
    assert (again.state, again.decision, again.manifest_hash) == (
        "Approved", approved.decision, pending.manifest_hash,
    )  # fmt: skip


async def test_an_approved_one_is_changed_by_nobody(house: Any) -> None:
    await other_sender(house)
    campaigns, pending = house.services.campaigns, await house.pending()
    approved = await house.approve(house.moderator, pending)
    acts: list[Coroutine[Any, Any, Any]] = [
        campaigns.edit(house.author, pending.id, **change) for _name, change in CHANGES
    ]
    acts += [campaigns.withdraw(house.author, pending.id), campaigns.discard_upload(house.author, pending.id)]
    for act in acts:
        with pytest.raises(ControlPlaneError):
            await act
    assert content(await campaigns.get(house.author, pending.id)) == content(approved)
