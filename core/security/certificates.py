"""The certificate, the key and the client authorities of a port, read again when their files change.

There is no watcher: the files are looked at for each new connection. Files that cannot be used together leave the
former ones in force, and count as a reload that failed. So does a certificate that has expired, unless the former one
has expired too.
"""

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import grpc
import structlog
from cryptography import x509
from prometheus_client import Counter, Gauge

from core.config import PREFIX, WrongSettingError, checked_authorities
from core.security.watched import stamp_of

log = structlog.get_logger()

RELOADS = Counter("orderstream_tls_reloads_total", "Reloads of changed TLS files by outcome.", ["outcome"])
EXPIRES = Gauge("orderstream_tls_certificate_expires_timestamp_seconds", "When the certificate in use expires.")
OK, FAILED = RELOADS.labels("ok"), RELOADS.labels("failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the files hold, for gRPC and for HTTP."""

    grpc: grpc.ServerCertificateConfiguration
    http: ssl.SSLContext
    expires: float  # seconds since 1970

    def has_expired(self) -> bool:
        return self.expires <= time.time()


class Certificates:
    """`client_ca`: None means that clients need no certificate. Used by threads of gRPC and of HTTP.

    Raises `WrongSettingError` for files that cannot be used together.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._lock = Lock()
        self._stamp = self._stamp_now()
        self._loaded = self._load()
        EXPIRES.set(self._loaded.expires)
        if self._loaded.has_expired():
            log.error("clients refuse the certificate: it has expired", expires=self._loaded.expires)

    def current(self) -> Loaded:
        """The newest files that could be used."""
        with self._lock:
            stamp = self._stamp_now()
            if stamp != self._stamp:
                self._stamp = stamp  # before they are read: what changes meanwhile is seen next time
                self._reload()
            return self._loaded

    def credentials(self) -> grpc.ServerCredentials:
        """For a port of gRPC."""
        return grpc.dynamic_ssl_server_credentials(
            self._loaded.grpc,
            self._changes(),  # type: ignore[arg-type]  # None is taken too, the stubs do not know it
            require_client_authentication=self._client_ca is not None,
        )

    def _changes(self) -> Callable[[], grpc.ServerCertificateConfiguration | None]:
        """gRPC asks for each connection; None says that nothing has changed."""
        given = self._loaded

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            before, given = given, self.current()
            return None if given is before else given.grpc

        return changed

    def _reload(self) -> None:
        try:
            loaded = self._load()
            self._require_valid(loaded)
        except WrongSettingError as error:
            FAILED.inc()
            log.error("the former TLS files stay in use", error=str(error))
        else:
            self._loaded = loaded
            OK.inc()
            EXPIRES.set(loaded.expires)
            log.info("TLS files read again", expires=loaded.expires)

    def _require_valid(self, loaded: Loaded) -> None:
        """Raises `WrongSettingError`."""
        if loaded.has_expired() and not self._loaded.has_expired():
            raise WrongSettingError(f"{PREFIX}TLS_CERTIFICATE: {self._certificate} has expired")

    def _stamp_now(self) -> tuple[object, ...]:
        files = (self._certificate, self._key, *([self._client_ca] if self._client_ca else ()))
        return tuple(stamp_of(file) for file in files)

    def _load(self) -> Loaded:
        authorities = None
        if self._client_ca is not None:
            authorities = checked_authorities(f"{PREFIX}TLS_CLIENT_CA", self._client_ca)
        certificate, key = _content("TLS_CERTIFICATE", self._certificate), _content("TLS_KEY", self._key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
            expires = x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()
        except (ssl.SSLError, ValueError, OSError) as error:
            raise WrongSettingError(
                f"{PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY: {self._certificate} and {self._key} are not a"
                f" certificate and its key in PEM form: {getattr(error, 'reason', None) or error}"
            ) from None
        if authorities is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=authorities.decode("ascii"))
        pairs = [(key, certificate)]
        return Loaded(
            grpc=grpc.ssl_server_certificate_configuration(pairs, root_certificates=authorities),
            http=context,
            expires=expires,
        )


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _content(setting: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise WrongSettingError(f"{PREFIX}{setting}: cannot read {file}: {error.strerror}") from None
