"""TLS to an SMSC: real handshakes on loopback, on asyncio's loop and on uvloop."""

import importlib.util
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.smpp.link import Link, LinkState
from engine.smpp.tls import BadTls, client_context
from engine.smpp.trial import try_bind

_spec = importlib.util.spec_from_file_location(
    "smpp_test_certificates", Path(__file__).with_name("certificates.py")
)
certificates = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(certificates)

OURS = certificates.Authority("operator authority")
OTHER = certificates.Authority("somebody else")
SMSC = OURS.sign("127.0.0.1")
CLIENT = OURS.sign("esme.example")
Links = Callable[..., Link]


async def listen(smsc, folder: Path, pair=SMSC, client_ca: str = "") -> None:
    await smsc.stop()
    await smsc.start(ssl=certificates.server_context(folder, pair, client_ca))


async def test_a_link_binds_and_submits_over_tls(
    smsc, recorder, links: Links, submits, fast, tmp_path: Path
) -> None:
    await listen(smsc, tmp_path)
    link = links(smsc.port, ssl=client_context(ca_pem=OURS.pem))
    await recorder.until(lambda: link.bound)
    link.submit(submits(20, link.reserve_sequences(20)), 0, 20, 7, 0, 3)
    await recorder.until(lambda: len(recorder.results) == 20)
    assert {status for _, status in recorder.results} == {0}
    await link.stop()
    assert smsc.names() == ["bind_transceiver"] + ["submit_sm"] * 20 + ["unbind"]


@pytest.mark.parametrize(
    ("authority", "pair", "said"),
    [
        (OTHER, SMSC, "certificate was refused"),
        (OURS, OURS.sign("127.0.0.1", expired=True), "expired"),
        (OURS, OURS.sign("127.0.0.2"), "IP address mismatch"),
    ],
    ids=["unknown authority", "expired", "another address"],
)
async def test_an_smsc_that_cannot_be_verified_never_sees_the_password(
    smsc, recorder, links: Links, tmp_path: Path, authority, pair, said: str
) -> None:
    await listen(smsc, tmp_path, pair)
    link = links(smsc.port, ssl=client_context(ca_pem=authority.pem))
    await recorder.until(lambda: link.state is LinkState.WAITING)
    assert said in link.reason
    assert smsc.received == []


async def test_the_server_name_replaces_the_host(smsc, recorder, links: Links, tmp_path: Path) -> None:
    await listen(smsc, tmp_path, OURS.sign("smsc.operator.example"))
    context = client_context(ca_pem=OURS.pem)
    wrong = links(smsc.port, ssl=context)
    await recorder.until(lambda: wrong.state is LinkState.WAITING)
    assert "mismatch" in wrong.reason
    right = links(smsc.port, ssl=context, server_name="smsc.operator.example")
    await recorder.until(lambda: right.bound)


async def test_an_smsc_that_wants_a_client_certificate_gets_ours(
    smsc, recorder, links: Links, tmp_path: Path
) -> None:
    await listen(smsc, tmp_path, client_ca=OURS.pem)
    without = links(smsc.port, ssl=client_context(ca_pem=OURS.pem))
    await recorder.until(lambda: without.state is LinkState.WAITING)
    assert not without.bound
    context = client_context(ca_pem=OURS.pem, cert_pem=CLIENT.cert, key_pem=CLIENT.key)
    link = links(smsc.port, ssl=context)
    await recorder.until(lambda: link.bound)
    shown = smsc.writers[-1].get_extra_info("peercert")
    assert ("DNS", "esme.example") in shown["subjectAltName"]


async def test_a_peer_without_tls_is_left(smsc, recorder, links: Links) -> None:
    link = links(smsc.port, ssl=client_context(ca_pem=OURS.pem), connect_timeout_s=0.3)
    await recorder.until(lambda: link.state is LinkState.WAITING)
    assert not link.bound
    assert "secret" not in link.reason


async def test_a_test_bind_says_version_cipher_and_whose_certificate_it_met(
    smsc, links: Links, tmp_path: Path
) -> None:
    await listen(smsc, tmp_path)
    config = links(smsc.port, ssl=client_context(ca_pem=OURS.pem)).config
    trial = await try_bind(config)
    assert (trial.bound, trial.unbound, trial.detail) == (True, True, "")
    assert trial.tls.startswith("TLSv1.3 TLS_")
    assert trial.tls_peer == "CN=127.0.0.1"


def test_no_context_without_verification() -> None:
    context = client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"ca_pem": "nonsense"}, "tls_ca_pem"),
        ({"cert_pem": "nonsense", "key_pem": CLIENT.key}, "tls_client_cert_pem"),
        ({"cert_pem": CLIENT.cert}, "tls_client_key"),
        ({"key_pem": CLIENT.key}, "tls_client_cert_pem"),
        ({"cert_pem": CLIENT.cert, "key_pem": "nonsense"}, "tls_client_key"),
        ({"cert_pem": CLIENT.cert, "key_pem": SMSC.key}, "tls_client_key"),
    ],
)
def test_what_cannot_be_used_names_its_setting_and_no_secret(given: dict[str, str], field: str) -> None:
    with pytest.raises(BadTls) as caught:
        client_context(**given)
    assert caught.value.field == field
    assert "PRIVATE KEY" not in str(caught.value)
