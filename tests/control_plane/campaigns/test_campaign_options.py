"""What a campaign says of its messages: read from a form, kept, sealed, and counted with."""

from typing import Any

import pytest

from control_plane.campaigns.options import read_options
from control_plane.core_fake import FakeCore
from control_plane.errors import Conflict, Invalid
from engine.core_api import schema

CHOSEN = {
    "in_doubt": "resend",
    "charset_rule": "transliterate",
    "flash": "1",
    "validity_h": "48",
    "dlt_pe_id": "1101172974420810001",
    "dlt_template_id": "1101172974420830004",
}


def test_a_form_names_what_it_changes_and_nothing_else() -> None:
    present = schema.MessageOptions(flash=True, dlt_pe_id="7")
    assert read_options({}, present, {}) == {"options": present}
    changed = read_options({"flash": "0"}, present, {})
    assert changed == {"options": schema.MessageOptions(dlt_pe_id="7")}


@pytest.mark.parametrize(
    "wrong",
    [
        {"in_doubt": "guess"},
        {"charset_rule": "maybe"},
        {"dlt_pe_id": "12a"},
        {"dlt_template_id": "1" * 31},
        {"validity_h": "0"},
        {"validity_h": "1.5"},
        {"validity_h": "99999"},
        {"validity_h": "٣"},
    ],
)
def test_a_fault_is_named_by_its_field_and_changes_nothing(wrong: dict[str, str]) -> None:
    problems: dict[str, str] = {}
    assert read_options(wrong, schema.NO_OPTIONS, problems) == {}
    assert list(problems) == list(wrong)


async def test_the_options_are_kept_and_sealed_as_they_were_chosen(house: Any, core: FakeCore) -> None:
    campaigns = house.services.campaigns
    draft = await house.draft()
    edited = await campaigns.edit(house.author, draft.id, options=CHOSEN)
    assert edited.in_doubt == "resend"
    assert edited.options.validity_s == 48 * 3600
    unchanged = await campaigns.edit(house.author, draft.id, name="Renamed")
    assert unchanged.options == edited.options
    submitted = await campaigns.submit(house.author, draft.id)
    sealed = await core.campaign(submitted.engine_id)
    assert (sealed.in_doubt, sealed.options) == ("resend", edited.options)


async def test_a_wrong_option_refuses_the_whole_draft(house: Any) -> None:
    with pytest.raises(Invalid) as refused:
        await house.services.campaigns.create(house.author, name="Spring", options={"in_doubt": "guess"})
    assert list(refused.value.errors) == ["in_doubt"]


async def test_options_do_not_change_after_submitting(house: Any) -> None:
    campaign = await house.pending()
    with pytest.raises(Conflict):
        await house.services.campaigns.edit(house.author, campaign.id, options={"in_doubt": "resend"})


async def test_a_dry_run_counts_as_the_channel_and_the_options_send(
    house: Any, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[schema.TextSpec] = []
    count = core.count_text

    async def note(spec: schema.TextSpec) -> schema.TextCount:
        asked.append(spec)
        return await count(spec)

    monkeypatch.setattr(core, "count_text", note)
    draft = await house.draft()
    await house.services.campaigns.review(house.author, draft.id)
    await house.services.campaigns.edit(house.author, draft.id, options={"charset_rule": "reject"})
    await house.services.campaigns.review(house.author, draft.id)
    assert [spec.channel for spec in asked] == ["Demo SMSC", "Demo SMSC"]
    assert [spec.options.charset_rule for spec in asked] == ["ucs2", "reject"]
