"""A closed stack: a private authority, certificates, keys and passwords in the data directory, made at the first start.

secure/ca.pem, ca.key             the authority; only this stack trusts it
secure/server.pem, server.key     the ports of the services and of the stores, for localhost
secure/client.pem                 the services towards the view store: certificate and key in one file
secure/keys.toml                  the hashes of API keys, with their roles
secure/operator.key               the API key that may do everything
secure/eventstore.password        of the user admin of the event store
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from client.api_keys import ROLES, new_key, toml_entry
from client.sdk.credentials import Tls

VALID_FOR = timedelta(days=825)
OPERATOR_ROLES = [role for role in ROLES if role != "customer"]


@dataclass(frozen=True, slots=True)
class Secure:
    """The files of a closed stack. `at` makes those that are missing."""

    directory: Path

    @classmethod
    def at(cls, data: Path) -> "Secure":
        made = cls(data / "secure")
        made.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not made._file("operator.key").exists():
            made._make()
        return made

    @property
    def tls(self) -> Tls:
        return Tls(ca=self._file("ca.pem"))

    @property
    def token(self) -> str:
        return self._file("operator.key").read_text().strip()

    @property
    def eventstore_options(self) -> Sequence[str]:
        files = (str(self._file("server.pem")), "--certificate-private-key-file", str(self._file("server.key")))
        return ("--certificate-file", *files)

    @property
    def mongo_options(self) -> Sequence[str]:
        names = {"certificate": "server.pem", "key": "server.key", "ca": "ca.pem", "client": "client.pem"}
        return [word for option, name in names.items() for word in (f"--tls-{option}-file", str(self._file(name)))]

    @property
    def eventstore_environment(self) -> dict[str, str]:
        return {"EVENTSTORE_DEFAULT_ADMIN_PASSWORD": self._file("eventstore.password").read_text()}

    @property
    def environment(self) -> dict[str, str]:
        """Of every service."""
        return {
            "ORDERSTREAM_TLS_CERTIFICATE": str(self._file("server.pem")),
            "ORDERSTREAM_TLS_KEY": str(self._file("server.key")),
            "ORDERSTREAM_API_KEYS_FILE": str(self._file("keys.toml")),
            "ORDERSTREAM_EVENTSTORE_CA_FILE": str(self._file("ca.pem")),
            "ORDERSTREAM_EVENTSTORE_USERNAME": "admin",
            "ORDERSTREAM_EVENTSTORE_PASSWORD_FILE": str(self._file("eventstore.password")),
        }

    @property
    def help(self) -> str:
        """For another terminal."""
        return (
            f"export ORDERSTREAM_CA={self._file('ca.pem').absolute()}"
            f" ORDERSTREAM_TOKEN=$(cat {self._file('operator.key').absolute()})"
        )

    def _file(self, name: str) -> Path:
        return self.directory / name

    def _make(self) -> None:
        """The key of the operator last: with it, all is there."""
        authority = _Authority.new()
        authority.write(self._file("ca.pem"), self._file("ca.key"))
        pem, key = authority.issue("localhost")
        _write(self._file("server.pem"), pem)
        _write(self._file("server.key"), key)
        _write(self._file("client.pem"), b"".join(authority.issue("orderstream")))
        _write(self._file("eventstore.password"), secrets.token_urlsafe(24).encode())
        operator = new_key()
        _write(self._file("keys.toml"), toml_entry(operator, "operator", OPERATOR_ROLES).encode())
        _write(self._file("operator.key"), operator.encode())


def _write(file: Path, content: bytes) -> None:
    """Readable for our user alone."""
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_bytes(content)


@dataclass(frozen=True, slots=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls) -> "_Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("orderstream")
        builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = _usage(signs_certificates=True)
        return cls(builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()), key)

    def write(self, certificate: Path, key: Path) -> None:
        _write(certificate, self.certificate.public_bytes(Encoding.PEM))
        _write(key, _pem(self.key))

    def issue(self, host: str) -> tuple[bytes, bytes]:
        """A certificate for a host of this machine, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(IPv4Address("127.0.0.1"))])
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = (
            _builder(_name(host), self.certificate.subject, key)
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(purposes, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM), _pem(key)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
