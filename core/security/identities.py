"""The authentication of this process, from the settings."""

from urllib.parse import urlsplit

from core.config import PREFIX, ProcessSettings, WrongSettingError
from core.security.api_keys import ApiKeys
from core.security.authenticator import Authenticator, CertificateNames
from core.security.jwks import KeysAtUrl, KeysInFile, KeySource
from core.security.stores import is_loopback
from core.security.tokens import Tokens


def authenticator_of(settings: ProcessSettings) -> Authenticator | None:
    """None without authentication. Raises `WrongSettingError` for half of the settings, and for a file that is none."""
    keys = certificates = None
    if settings.api_keys_file is not None:
        keys = ApiKeys(f"{PREFIX}API_KEYS_FILE", settings.api_keys_file)
    if settings.certificate_roles_file is not None:
        if settings.tls_client_ca is None:
            raise WrongSettingError(f"{PREFIX}TLS_CLIENT_CA: is missing, {PREFIX}CERTIFICATE_ROLES_FILE is set")
        certificates = CertificateNames(f"{PREFIX}CERTIFICATE_ROLES_FILE", settings.certificate_roles_file)
    tokens = _tokens(settings)
    if keys is None and certificates is None and tokens is None:
        return None
    return Authenticator(certificates=certificates, tokens=tokens, keys=keys)


def _tokens(settings: ProcessSettings) -> Tokens | None:
    given = {
        "JWT_ISSUER": settings.jwt_issuer,
        "JWT_AUDIENCE": settings.jwt_audience,
        "JWT_JWKS_FILE or JWT_JWKS_URL": settings.jwt_jwks_file or settings.jwt_jwks_url,
    }
    if not any(given.values()):
        return None
    for name, value in given.items():
        if not value:
            there = next(other for other, has in given.items() if has)
            raise WrongSettingError(f"{PREFIX}{name}: is missing, {PREFIX}{there} is set")
    return Tokens(
        _key_source(settings),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        roles_claim=settings.jwt_roles_claim,
    )


def _key_source(settings: ProcessSettings) -> KeySource:
    file, url = settings.jwt_jwks_file, settings.jwt_jwks_url
    if file is not None:
        if url:
            raise WrongSettingError(f"{PREFIX}JWT_JWKS_FILE and {PREFIX}JWT_JWKS_URL: give one of them")
        return KeysInFile(f"{PREFIX}JWT_JWKS_FILE", file)
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise WrongSettingError(f"{PREFIX}JWT_JWKS_URL: is no address") from None
    if not host or "@" in parts.netloc:
        raise WrongSettingError(f"{PREFIX}JWT_JWKS_URL: needs a host, without a name or password")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise WrongSettingError(f"{PREFIX}JWT_JWKS_URL: must begin with https://")
    return KeysAtUrl(url)
