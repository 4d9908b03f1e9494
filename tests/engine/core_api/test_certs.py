"""The Core API's certificates: made once, renewed in time, secrets kept from others."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from engine.core_api import certs
from engine.core_api.tls import client_context, is_control_plane, server_context


def test_a_first_run_makes_three_certificates_and_a_second_keeps_them(tmp_path: Path) -> None:
    assert {path.name for path in certs.make(tmp_path)} == {
        "ca.crt",
        "heliograph-engine.crt",
        "heliograph-control-plane.crt",
    }
    assert certs.make(tmp_path) == []


def test_private_keys_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    certs.make(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.key")} == {0o600}


def test_a_leaf_about_to_end_is_renewed_and_the_ca_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certs.make(tmp_path)
    ca = (tmp_path / "ca.crt").read_bytes()
    monkeypatch.setattr(certs, "RENEW_DAYS", certs.LEAF_DAYS + 1)
    renewed = {path.name for path in certs.make(tmp_path)}
    assert renewed == {"heliograph-engine.crt", "heliograph-control-plane.crt"}
    assert (tmp_path / "ca.crt").read_bytes() == ca


def test_further_hosts_are_in_the_engines_certificate_only(tmp_path: Path) -> None:
    certs.make(tmp_path, ["engine.internal", "10.1.2.3"])
    engine = x509.load_pem_x509_certificate((tmp_path / "heliograph-engine.crt").read_bytes())
    names = engine.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "engine.internal" in names.get_values_for_type(x509.DNSName)
    assert engine.not_valid_after_utc - datetime.now(UTC) > timedelta(days=certs.LEAF_DAYS - 1)
    client = x509.load_pem_x509_certificate((tmp_path / "heliograph-control-plane.crt").read_bytes())
    names = client.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["heliograph-control-plane"]


class _Server:
    """A TLS server that tells each peer whether it is the control plane."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def __aenter__(self) -> int:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"yes" if is_control_plane(writer.get_extra_info) else b"no")
            writer.close()

        self._server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context(self.folder))
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


async def _ask(port: int, context: ssl.SSLContext) -> bytes:
    """What the server says; nothing where the handshake failed at either end."""
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=certs.ENGINE
        )
    except (ssl.SSLError, ConnectionError):
        return b""
    try:
        return await reader.read()
    except (ssl.SSLError, ConnectionError):
        return b""
    finally:
        writer.close()


async def test_the_control_plane_is_known_by_the_name_in_its_certificate(tmp_path: Path) -> None:
    certs.make(tmp_path)
    async with _Server(tmp_path) as port:
        assert await _ask(port, client_context(tmp_path)) == b"yes"


async def test_the_engines_own_certificate_does_not_pass_for_the_control_planes(tmp_path: Path) -> None:
    certs.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tmp_path / "ca.crt")
    context.load_cert_chain(tmp_path / "heliograph-engine.crt", tmp_path / "heliograph-engine.key")
    async with _Server(tmp_path) as port:
        assert await _ask(port, context) == b""


def test_another_name_signed_by_our_ca_is_not_the_control_plane() -> None:
    assert not is_control_plane(lambda _name: {"subjectAltName": (("DNS", certs.ENGINE),)})
    assert not is_control_plane(lambda _name: None)


async def test_a_peer_without_a_certificate_is_refused(tmp_path: Path) -> None:
    certs.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tmp_path / "ca.crt")
    async with _Server(tmp_path) as port:
        assert await _ask(port, context) == b""


async def test_certificates_replaced_under_a_running_server_shut_out_the_old_ca(tmp_path: Path) -> None:
    folder, old = tmp_path / "certs", tmp_path / "old"
    certs.make(folder)
    old.mkdir()
    for path in folder.iterdir():
        (old / path.name).write_bytes(path.read_bytes())
    async with _Server(folder) as port:
        assert await _ask(port, client_context(folder)) == b"yes"
        for path in folder.iterdir():
            path.unlink()
        certs.make(folder)
        assert await _ask(port, client_context(folder)) == b"yes"
        assert await _ask(port, client_context(old)) == b""
