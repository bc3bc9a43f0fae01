"""Certificates for tests, of authorities that only the tests know."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import grpc
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key


class Certificate(NamedTuple):
    """PEM files: an authority, a certificate of it for this machine, and the key of that."""

    authority: Path
    certificate: Path
    key: Path

    @property
    def trust(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.authority.read_bytes())

    @property
    def options(self) -> list[str]:
        return ["--certificate-file", str(self.certificate), "--certificate-private-key-file", str(self.key)]


def certificate_in(directory: Path) -> Certificate:
    files = Certificate(directory / "ca.pem", directory / "node.pem", directory / "node.key")
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(files.authority))
    leaf.private_key_pem.write_to_path(str(files.key))
    for pem in leaf.cert_chain_pems:
        pem.write_to_path(str(files.certificate), append=True)
    return files


class Authority:
    """An authority of which tests get certificates one by one."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self.pem = self._ca.cert_pem.bytes()

    def write(self, file: Path) -> Path:
        file.write_bytes(self.pem)
        return file

    def issue(self, certificate: Path, key: Path, *names: str, until: datetime | None = None) -> None:
        """The file of the certificate first: for a moment it has no key, as with any tool that replaces both."""
        leaf = self._ca.issue_cert(*(names or ("localhost", "127.0.0.1")), not_after=until)
        certificate.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())

    def client(
        self, *names: str, trusts: "Authority | None" = None, until: datetime | None = None
    ) -> grpc.ChannelCredentials:
        """With a certificate for these names; without names, none. The server has to be of `trusts`, or of this."""
        root = (trusts or self).pem
        if not names:
            return grpc.ssl_channel_credentials(root)
        leaf = self._ca.issue_cert(*names, not_after=until)
        chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
        return grpc.ssl_channel_credentials(root, leaf.private_key_pem.bytes(), chain)

    def workload(self, uri: str, trusts: "Authority") -> grpc.ChannelCredentials:
        """With a certificate that has a URI in place of the name of a host, as SPIFFE has it."""
        ca = x509.load_pem_x509_certificate(self.pem)
        signer, key = (
            load_pem_private_key(self._ca.private_key_pem.bytes(), None),
            ec.generate_private_key(ec.SECP256R1()),
        )
        assert isinstance(signer, ec.EllipticCurvePrivateKey), "trustme makes such keys"
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
            .sign(signer, hashes.SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return grpc.ssl_channel_credentials(trusts.pem, private, certificate.public_bytes(Encoding.PEM))
