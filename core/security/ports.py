"""The one rule of who may listen where. Every process opens its ports through it.

On loopback a process may be open, which the log says. On any other address it needs TLS, or does not start:
`ORDERSTREAM_INSECURE=true` is for a service mesh and for a laptop. Half of a configuration never starts anywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import structlog
from prometheus_client import Gauge

from core.config import PREFIX, ProcessSettings, WrongSettingError
from core.security.stores import is_loopback, require_tls_to_stores

if TYPE_CHECKING:
    from core.security.certificates import Certificates

log = structlog.get_logger()

INSECURE = Gauge("orderstream_insecure", "1 if a port that is not on loopback is open without TLS.")
SWITCH = f"{PREFIX}INSECURE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """How a process listens. `certificates`: None is plain text."""

    host: str
    certificates: "Certificates | None"
    options: tuple[tuple[str, int], ...]

    def add(self, server: grpc.aio.Server, port: int) -> int:
        """Bind a port of gRPC; the number of the port."""
        address = f"{self.host}:{port}"
        if self.certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, self.certificates.credentials())


def ports_of(settings: ProcessSettings) -> Ports:
    """Raises `WrongSettingError`, and `StoreTlsFailed` for a store elsewhere that is spoken to over plain text."""
    require_tls_to_stores(settings)
    certificates = certificates_of(settings)
    local = is_loopback(settings.host)
    _require_closed(settings, "HOST", settings.host, _missing(certificates))
    if settings.metrics_port is not None:
        _require_closed(settings, "METRICS_HOST", settings.metrics_host, _missing(certificates))
    if certificates is None:
        tell: Callable[..., object] = log.info if local else log.warning
        tell("insecure: loopback only" if local else f"insecure: {SWITCH}=true", host=settings.host)
    INSECURE.set(not local and certificates is None)
    age = round(settings.max_connection_age * 1_000)
    return Ports(
        host=settings.host,
        certificates=certificates,
        options=() if local else (("grpc.max_connection_age_ms", age),),
    )


def certificates_of(settings: ProcessSettings) -> "Certificates | None":
    """Raises `WrongSettingError` for half of the files, and for files that cannot be used."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is None:
        if settings.tls_client_ca is not None:
            raise WrongSettingError(f"{PREFIX}TLS_CERTIFICATE: is missing, {PREFIX}TLS_CLIENT_CA is set")
        return None
    if certificate is None or key is None:
        missing, there = ("TLS_CERTIFICATE", "TLS_KEY") if certificate is None else ("TLS_KEY", "TLS_CERTIFICATE")
        raise WrongSettingError(f"{PREFIX}{missing}: is missing, {PREFIX}{there} is set")
    from core.security.certificates import Certificates  # noqa: PLC0415  # a process without TLS does not pay for it

    return Certificates(certificate, key, settings.tls_client_ca)


def _missing(certificates: object) -> list[str]:
    return [] if certificates else [f"TLS ({PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY)"]


def _require_closed(settings: ProcessSettings, variable: str, host: str, missing: list[str]) -> None:
    if missing and not settings.insecure and not is_loopback(host):
        raise WrongSettingError(
            f"{PREFIX}{variable}: {host} is reached from other machines, which needs {' and '.join(missing)};"
            f" {SWITCH}=true is for a service mesh or a laptop"
        )
