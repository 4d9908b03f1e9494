"""Certificates of the Core API: a private CA, the engine's and the control plane's.

Made at first start into one folder, private keys 0600. `make(folder)` keeps what is there, renews a leaf that
ends within 30 days, and never touches the CA: delete the folder to start anew (then restart both programs).
"""

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ENGINE = "heliograph-engine"
CONTROL_PLANE = "heliograph-control-plane"

CA_DAYS = 3650
LEAF_DAYS = 397
RENEW_DAYS = 30


def make(folder: Path, hosts: list[str] | None = None) -> list[Path]:
    """Create what is missing or about to end; returns the certificates written.

    `hosts`: further names or addresses the engine answers to, beside localhost.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = []
    if not (folder / "ca.crt").exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Heliograph Core API CA")
        certificate = (
            _builder(name, name, key, CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        written.append(_write(folder, "ca", key, certificate))
    for leaf, usage in (
        (ENGINE, ExtendedKeyUsageOID.SERVER_AUTH),
        (CONTROL_PLANE, ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        path = folder / f"{leaf}.crt"
        if path.exists() and days_left(path) > RENEW_DAYS:
            continue
        written.append(_leaf(folder, leaf, usage, hosts or []))
    return written


def days_left(certificate: Path) -> int:
    """Whole days until a PEM certificate ends (negative when it has)."""
    ends = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    return (ends - datetime.now(UTC)).days


def _leaf(folder: Path, leaf: str, usage: x509.ObjectIdentifier, hosts: list[str]) -> Path:
    ca = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    ca_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(leaf)]
    if usage == ExtendedKeyUsageOID.SERVER_AUTH:
        names += [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        names += [_general_name(host) for host in hosts]
    certificate = (
        _builder(_name(leaf), ca.subject, key, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    return _write(folder, leaf, key, certificate)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(folder: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Path:
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _replace(folder / f"{name}.key", secret, 0o600)
    path = folder / f"{name}.crt"
    _replace(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return path


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all: a reader never sees half a key."""
    temporary = path.with_suffix(path.suffix + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
