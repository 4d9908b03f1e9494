"""The seal: options stand in it only where they say something, so older campaigns keep their hash."""

from dataclasses import replace
from uuid import UUID

import msgspec
import pytest

from engine.core_api.schema import MessageOptions
from engine.ledger.manifest import Manifest

MANIFEST = Manifest(
    campaign_id=UUID(int=1),
    workspace_id=UUID(int=2),
    upload_id=UUID(int=3),
    upload_digest=bytes(32),
    recipients=5,
    text="Hello {{name}}",
    sender="Heliograph",
    sender_revision_id=UUID(int=4),
    channel_id=1,
    channel="Demo SMSC",
)


def test_a_campaign_without_options_has_the_hash_of_the_first_release() -> None:
    assert MANIFEST.hash().hex() == ("661f22353f23646a2065515a1ca97fddb65a5beaadc010e1339acdda856e512d")
    assert b"options" not in MANIFEST.body()


@pytest.mark.parametrize(
    "options",
    [
        MessageOptions(charset_rule="reject"),
        MessageOptions(flash=True),
        MessageOptions(dlt_pe_id="1"),
        MessageOptions(dlt_template_id="1"),
        MessageOptions(validity_s=3600),
    ],
)
def test_every_option_voids_the_approval(options: MessageOptions) -> None:
    sealed = replace(MANIFEST, options=options)
    assert sealed.hash() != MANIFEST.hash()
    said = msgspec.json.encode(options)
    assert said in sealed.body()
    assert msgspec.json.decode(said, type=MessageOptions) == options


@pytest.mark.parametrize("wrong", [b'{"validity_s":59}', b'{"dlt_pe_id":"12a"}', b'{"charset_rule":"drop"}'])
def test_options_that_make_no_sense_are_not_sealed(wrong: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(wrong, type=MessageOptions)
