"""The options for a certificate: what is wrong with them is said before anything is opened."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from embedded.__main__ import main
from embedded.eventstore.errors import CertificateError
from embedded.eventstore.security.settings import Security
from tests.support.certificates import Certificate, certificate_in

Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate_in(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate_in(tmp_path_factory.mktemp("other"))


@pytest.fixture
def run(
    certificate: Certificate,
    other: Certificate,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """The program with these arguments: its exit code, and what it says on standard error."""
    named = {"certificate": certificate.certificate, "key": certificate.key, "other": other.key}

    def run(*arguments: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["embedded", *(argument.format(**named) for argument in arguments)])
        return main(), capsys.readouterr().err.splitlines()

    return run


@pytest.mark.parametrize("store", ["eventstore", "cluster"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--certificate-file", "{certificate}"], "give both"),
        (["--certificate-private-key-file", "{key}"], "give both"),
        (["--certificate-file", "none.pem", "--certificate-private-key-file", "{key}"], "cannot read none.pem"),
        (["--certificate-file", "{certificate}", "--certificate-private-key-file", "."], "cannot read ."),
        (["--certificate-file", "{certificate}", "--certificate-private-key-file", "{other}"], "no certificate with"),
        (["--certificate-file", "{key}", "--certificate-private-key-file", "{key}"], "no certificate with"),
    ],
)
def test_files_that_make_no_certificate_are_one_line_and_exit_code_2(
    run: Run, store: str, options: list[str], says: str
) -> None:
    code, lines = run(store, "--memory", "--port", "0", *options)

    assert code == 2
    assert [says in line for line in lines] == [True]


@pytest.mark.parametrize("store", ["eventstore", "cluster"])
@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.1.2.3", "shop.example"])  # to be refused
def test_a_node_without_users_listens_on_loopback_only(run: Run, store: str, host: str) -> None:
    code, lines = run(store, "--memory", "--port", "0", "--host", host)

    assert code == 2
    assert ["or say --insecure" in line for line in lines] == [True]


def test_a_certificate_needs_a_key(certificate: Certificate) -> None:
    with pytest.raises(CertificateError):
        Security(certificate=certificate.certificate)


def test_a_key_that_needs_a_password_is_refused(certificate: Certificate, tmp_path: Path) -> None:
    key = load_pem_private_key(certificate.key.read_bytes(), password=None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))

    with pytest.raises(CertificateError, match="not encrypted"):
        Security(certificate=certificate.certificate, key=encrypted).credentials()


def test_passwords_are_not_shown() -> None:
    assert "secret" not in repr(Security(admin_password="secret", ops_password="secret"))
