"""Values are as long as their template allows: the engine's count of parts tells, over all recipients."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.campaigns.content_rules import measuring_text
from control_plane.core_fake import FakeCore
from control_plane.errors import Invalid
from control_plane.templates.model import SmsContent, Variable
from engine.core_api import schema
from engine.smpp.text import split


@given(st.integers(1, 500), st.integers(-3, 3), st.sampled_from("aé€ł"))
def test_one_character_too_many_is_one_part_too_many(most: int, more: int, letter: str) -> None:
    text, parts = measuring_text(Variable(name="name", sample="x", max_length=most))
    value = letter * max(0, most + more)
    sent = split(text.replace("{{name}}", value), 1, max_parts=255)
    assert (len(sent) > parts) is (more > 0)


async def test_a_file_with_a_value_too_long_is_not_submitted(
    house: Any, core: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = SmsContent(
        body="Hello {{name}}",
        variables=(Variable(name="name", sample="Anna", max_length=20),),
        content_type="service",
        category="SIC",
    )
    version = await house.services.templates.create(house.author, "hello", content)
    draft = await house.draft()
    await house.services.campaigns.edit(house.author, draft.id, template=str(version.id))
    count = core.count_text
    measuring = measuring_text(content.variables[0])[0]

    async def with_long_values(spec: schema.TextSpec) -> schema.TextCount:
        counted = await count(spec)
        if spec.text != measuring:
            return counted
        return msgspec.structs.replace(counted, parts_histogram=[counted.recipients - 2, 2])

    monkeypatch.setattr(core, "count_text", with_long_values)
    with pytest.raises(Invalid) as told:
        await house.services.campaigns.submit(house.author, draft.id)
    assert told.value.errors == {
        "recipients": "2 values of name are longer than the 20 characters that hello allows."
    }
