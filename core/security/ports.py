"""The one rule of who may listen where. Every process opens its ports through it.

On loopback a process may be open, which the log says. On any other address it needs TLS and must ask who calls, or does
not start:
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
    from core.security.authenticator import Authenticator
    from core.security.certificates import Certificates
    from core.security.quotas import Quotas

log = structlog.get_logger()

INSECURE = Gauge("orderstream_insecure", "1 if a port that is not on loopback lacks TLS or authentication.")
SWITCH = f"{PREFIX}INSECURE"
IDENTITIES = f"{PREFIX}JWT_ISSUER, {PREFIX}API_KEYS_FILE or {PREFIX}CERTIFICATE_ROLES_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """How a process listens. `certificates`: None is plain text. `authenticator`: None is without authentication."""

    host: str
    certificates: "Certificates | None"
    authenticator: "Authenticator | None"
    quotas: "Quotas | None"
    options: tuple[tuple[str, int], ...]
    reflection: bool

    def add(self, server: grpc.aio.Server, port: int) -> int:
        """Bind a port of gRPC; the number of the port."""
        address = f"{self.host}:{port}"
        if self.certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, self.certificates.credentials())


def ports_of(settings: ProcessSettings) -> Ports:
    """Raises `WrongSettingError`, and `StoreTlsFailed` for a store elsewhere that is spoken to over plain text."""
    require_tls_to_stores(settings)
    certificates, authenticator = _certificates_of(settings), _authenticator_of(settings)
    local = is_loopback(settings.host)
    no_tls = [] if certificates else [f"TLS ({PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY)"]
    missing = no_tls if authenticator else [*no_tls, f"a way to know who calls ({IDENTITIES})"]
    _require_closed(settings, "HOST", settings.host, missing)
    if settings.metrics_port is not None:
        _require_closed(settings, "METRICS_HOST", settings.metrics_host, no_tls)
    if missing:
        log_it: Callable[..., object] = log.info if local else log.warning
        log_it("insecure: loopback only" if local else f"insecure: {SWITCH}=true", host=settings.host, missing=missing)
    INSECURE.set(bool(missing) and not local)
    age = round(settings.max_connection_age * 1_000)
    return Ports(
        host=settings.host,
        certificates=certificates,
        authenticator=authenticator,
        quotas=_quotas_of(settings) if authenticator else None,
        reflection=local if settings.reflection is None else settings.reflection,
        options=() if local else (("grpc.max_connection_age_ms", age),),
    )


def _certificates_of(settings: ProcessSettings) -> "Certificates | None":
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


def _authenticator_of(settings: ProcessSettings) -> "Authenticator | None":
    """Raises `WrongSettingError`."""
    named = (settings.jwt_issuer, settings.jwt_audience, settings.jwt_jwks_file, settings.jwt_jwks_url)
    if not any((*named, settings.api_keys_file, settings.certificate_roles_file)):
        return None
    from core.security.identities import authenticator_of  # noqa: PLC0415  # an open process does not pay for it

    return authenticator_of(settings)


def _quotas_of(settings: ProcessSettings) -> "Quotas":
    from core.security.quotas import OPS, READ, WRITE, Quotas  # noqa: PLC0415  # an open process does not pay for it

    rates = {
        READ: settings.max_reads_per_caller,
        WRITE: settings.max_writes_per_caller,
        OPS: settings.max_ops_per_caller,
    }
    return Quotas(settings.max_calls_per_caller, rates)


def _require_closed(settings: ProcessSettings, variable: str, host: str, missing: list[str]) -> None:
    if missing and not settings.insecure and not is_loopback(host):
        raise WrongSettingError(
            f"{PREFIX}{variable}: {host} is reached from other machines, which needs {' and '.join(missing)};"
            f" {SWITCH}=true is for a service mesh or a laptop"
        )
