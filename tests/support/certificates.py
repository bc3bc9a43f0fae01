"""Certificates for tests, of authorities that only the tests know."""

from pathlib import Path
from typing import NamedTuple

import grpc
import trustme


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
