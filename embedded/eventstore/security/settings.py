"""The settings of a secure node: its certificate, and the passwords of its first two users."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from embedded.eventstore.errors import CertificateError

DEFAULT_PASSWORD = "changeit"  # noqa: S105  # the real server's, for both users
ADMIN_PASSWORD = "EVENTSTORE_DEFAULT_ADMIN_PASSWORD"  # noqa: S105  # the name of a variable
OPS_PASSWORD = "EVENTSTORE_DEFAULT_OPS_PASSWORD"  # noqa: S105  # the name of a variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Makes a node authenticate its callers, and check what they may do.

    `certificate` and `key` are PEM files for TLS. Without them the node speaks plain text, which is for tests only.
    The passwords are those of the users `admin` and `ops`, which are created when the log does not know them.
    Raises `CertificateError` if only one of the two files is given.
    """

    certificate: Path | None = None
    key: Path | None = None
    admin_password: str = field(default=DEFAULT_PASSWORD, repr=False)
    ops_password: str = field(default=DEFAULT_PASSWORD, repr=False)

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise CertificateError("give both --certificate-file and --certificate-private-key-file, or neither")

    @classmethod
    def from_files(cls, certificate: Path | None, key: Path | None, environment: Mapping[str, str]) -> "Security":
        """With the passwords that the environment gives. An empty one counts as none."""
        return cls(
            certificate=certificate,
            key=key,
            admin_password=environment.get(ADMIN_PASSWORD) or DEFAULT_PASSWORD,
            ops_password=environment.get(OPS_PASSWORD) or DEFAULT_PASSWORD,
        )

    @property
    def tls(self) -> bool:
        return self.certificate is not None

    def credentials(self) -> grpc.ServerCredentials | None:
        """What a gRPC server needs for TLS; None without a certificate.

        Raises `CertificateError` if the files cannot be read or do not fit together.
        """
        if self.certificate is None or self.key is None:
            return None
        chain, key = (_content(file) for file in (self.certificate, self.key))
        try:
            # an empty password: an encrypted key is refused, and there is no prompt for its password
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password="")
        except (ssl.SSLError, ValueError) as error:
            raise CertificateError(
                f"{self.certificate} and {self.key} are no certificate with its private key, both in PEM "
                f"and not encrypted ({error})"
            ) from error
        return grpc.ssl_server_credentials([(key, chain)])


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CertificateError(f"cannot read {file}: {error.strerror}") from error
