"""E-mail over a real SMTP server, and what happens without one or when it refuses."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from control_plane.access import Membership, Role
from control_plane.joining.model import INVITATIONS
from control_plane.services import Services
from control_plane.settings import ControlPlaneSettings

EVE, PASSWORD = "eve@new.example", "three unrelated words"
AUTHOR = Membership(role=Role.AUTHOR)
Mailing = Callable[..., Services]


async def test_an_invitation_goes_to_its_address_with_the_link_of_the_setting(
    mailing: Mailing, inbox: Any, house: Any
) -> None:
    services = mailing()
    sent = await services.invitations.invite(house.admin, EVE, AUTHOR)
    assert sent.mailed
    assert sent.invitation.mailed
    assert inbox.got[-1].rcpt_tos == [EVE]
    assert inbox.got[-1].mail_from == "heliograph@house.example"
    link = re.search(r"https://sms\.house\.example/join\?token=(\S+)", inbox.text())
    assert link
    assert (await services.invitations.accept_new(link[1], "Eve", PASSWORD)).email == EVE


@pytest.mark.parametrize("refuses", ["550 No such person", "421 Busy", "nonsense"])
async def test_a_server_that_refuses_loses_no_invitation(
    mailing: Mailing, inbox: Any, house: Any, refuses: str
) -> None:
    inbox.refuses = refuses
    services = mailing()
    sent = await services.invitations.invite(house.admin, EVE, AUTHOR)
    assert (sent.mailed, sent.invitation.mailed) == (False, False)
    assert (await services.store.get(INVITATIONS, sent.invitation.id)).state == "open"
    token = sent.link.partition("token=")[2]
    assert (await services.invitations.accept_new(token, "Eve", PASSWORD)).email == EVE


async def test_a_server_that_is_not_there_loses_no_invitation(
    mailing: Mailing, house: Any, unused_tcp_port: int
) -> None:
    services = mailing(smtp_port=unused_tcp_port, smtp_timeout_s=2.0)
    sent = await services.invitations.invite(house.admin, EVE, AUTHOR)
    assert not sent.mailed
    assert [one.email for one in await services.invitations.open(house.admin)] == [EVE]


async def test_without_encryption_asked_for_nothing_is_sent_in_the_clear(
    mailing: Mailing, inbox: Any, house: Any
) -> None:
    """The server offers no STARTTLS: with it asked for, the message does not leave."""
    services = mailing(smtp_tls="starttls", smtp_user="me", smtp_password=SecretStr("hush"))
    assert not await services.mail.send(EVE, "Hello", "Text")
    assert inbox.got == []


@pytest.mark.parametrize("subject", ["a\nBcc: everybody@new.example", "a\r\n\r\nbody"])
async def test_a_subject_adds_no_header(mailing: Mailing, inbox: Any, subject: str) -> None:
    assert not await mailing().mail.send(EVE, subject, "Text")
    assert inbox.got == []


@pytest.mark.parametrize(
    "url", ["ftp://x", "javascript:alert(1)", "https://", "sms.house.example", "https://x/?a=b"]
)
def test_a_public_url_is_one(control_settings: ControlPlaneSettings, url: str) -> None:
    with pytest.raises(ValidationError):
        ControlPlaneSettings(documents_dsn=control_settings.documents_dsn, public_url=url)
