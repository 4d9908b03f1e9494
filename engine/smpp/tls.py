"""TLS to an SMSC: its certificate and name are always verified; ours is shown where the account has one."""

from __future__ import annotations

import secrets
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization


class BadTls(ValueError):
    """Certificates or a key that cannot be used; `field` is the setting, the message is for a person."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


def client_context(*, ca_pem: str = "", cert_pem: str = "", key_pem: str = "") -> ssl.SSLContext:
    """A context for connections to one SMSC, TLS 1.2 or above. Raises BadTls.

    `ca_pem`: who may have signed the SMSC's certificate, "" for the system's authorities. `cert_pem` with
    `key_pem`: what we show.
    """
    _check_certificates("tls_ca_pem", ca_pem)
    _check_certificates("tls_client_cert_pem", cert_pem)
    if bool(cert_pem) != bool(key_pem):
        missing = "tls_client_key" if cert_pem else "tls_client_cert_pem"
        raise BadTls(missing, "a client certificate and its key belong together")
    try:
        context = ssl.create_default_context(cadata=ca_pem or None)
    except ssl.SSLError as error:
        raise BadTls("tls_ca_pem", _said(error)) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    if cert_pem:
        _load(context, cert_pem, key_pem)
    return context


def failure(error: ssl.SSLError) -> str:
    """Why a handshake failed, for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the SMSC's certificate was refused: {error.verify_message}"
    return f"TLS: {_said(error)}"


def subject(certificate: bytes) -> str:
    """The subject of a certificate (DER)."""
    return x509.load_der_x509_certificate(certificate).subject.rfc4514_string()


def _check_certificates(field: str, pem: str) -> None:
    if not pem:
        return
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise BadTls(field, "holds no certificate in PEM form") from None


def _load(context: ssl.SSLContext, cert_pem: str, key_pem: str) -> None:
    """OpenSSL reads keys from files only: this one is encrypted with a password that exists in memory."""
    try:
        key = serialization.load_pem_private_key(key_pem.encode(), password=None)
    except TypeError:
        raise BadTls("tls_client_key", "is protected by a passphrase; give it without") from None
    except ValueError:
        raise BadTls("tls_client_key", "holds no private key in PEM form") from None
    password = secrets.token_bytes(32)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )
    with tempfile.TemporaryDirectory(prefix="heliograph-") as folder:
        cert_file, key_file = Path(folder) / "cert.pem", Path(folder) / "key.pem"
        cert_file.write_text(cert_pem)
        key_file.write_bytes(encrypted)
        try:
            context.load_cert_chain(cert_file, key_file, password)
        except ssl.SSLError as error:
            raise BadTls("tls_client_key", f"does not fit the certificate: {_said(error)}") from None


def _said(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
