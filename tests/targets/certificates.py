"""Authorities and certificates made on the spot, as a company with its own would have them."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PRIVATE = serialization.PrivateFormat.PKCS8


@dataclass(frozen=True)
class Paper:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, file: Path, *, key: bool = True, password: bytes = b"") -> Path:
        """Writes the certificate, with its key, too."""
        text = self.certificate.public_bytes(serialization.Encoding.PEM)
        file.write_bytes(text + (self.pem(password) if key else b""))
        return file

    def pem(self, password: bytes = b"") -> bytes:
        """The private key."""
        hide = (
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption()
        )
        return self.key.private_bytes(serialization.Encoding.PEM, PRIVATE, hide)


def authority(name: str) -> Paper:
    """One that vouches for others."""
    key = ec.generate_private_key(ec.SECP256R1())
    built = _built(name, name, key).add_extension(x509.BasicConstraints(True, None), critical=True)
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    return Paper(built.add_extension(usage, critical=True).sign(key, hashes.SHA256()), key)


def paper(signer: Paper, name: str = "localhost", *, days: int = 2) -> Paper:
    """A certificate for a host, or for a client; `days` before today: one that has ended."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = signer.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    known: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        known.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    built = _built(name, str(issuer), key, days).add_extension(
        x509.SubjectAlternativeName(known), critical=False
    )
    return Paper(built.sign(signer.key, hashes.SHA256()), key)


def _built(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, days: int = 2
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
    )
