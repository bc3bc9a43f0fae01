"""Settings of the servers. Every variable has the prefix ORDERSTREAM_, e.g. ORDERSTREAM_EVENTSTORE_URI."""

import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

PREFIX = "ORDERSTREAM_"
ADDRESSES = ("eventstore_uri", "eventstore_read_uri", "mongo_uri")  # of the stores
SECRETS_VARIABLE, SECRETS_DIRECTORY = f"{PREFIX}SECRETS_DIR", Path("/etc/orderstream/secrets")
MAX_SHOWN_LENGTH = 60  # characters of a wrong value


class WrongSettingError(ValueError):
    """One line that names the variable and says what its value should look like. It shows no secret."""


class StoreSettings(BaseSettings):
    """The addresses of the stores, and our credentials. Credentials given here win over those in an address.

    A password is taken literally here; in an address it is percent-encoded.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")
    former_names: ClassVar[Mapping[str, str]] = {}  # by former name: the present one; read for one release

    eventstore_uri: str = Field(default="esdb://127.0.0.1:2113?Tls=false", repr=False)
    eventstore_read_uri: str = Field(
        default="", repr=False, description="followers, for the reads of queries and views; none: eventstore_uri"
    )
    eventstore_username: str = Field(default="", description="a user of the event store")
    eventstore_password: SecretStr = Field(default=SecretStr(""), description="or eventstore_password_file")
    eventstore_password_file: Path | None = Field(default=None, description="a file that holds the password alone")
    eventstore_ca_file: Path | None = Field(default=None, description="PEM; none: the authorities that gRPC brings")
    mongo_uri: str = Field(default="mongodb://127.0.0.1:27017/", repr=False)
    mongo_username: str = Field(default="", description="a user of MongoDB")
    mongo_password: SecretStr = Field(default=SecretStr(""), description="or mongo_password_file")
    mongo_password_file: Path | None = Field(default=None, description="a file that holds the password alone")
    mongo_ca_file: Path | None = Field(default=None, description="PEM; none: the authorities of this machine")
    mongo_database: str = "orderstream"
    insecure_stores: bool = Field(default=False, description="true: stores on other machines without TLS")

    def credentials(self, store: str) -> tuple[str, str]:
        """User name and password for "eventstore" or "mongo"; two empty texts if none is set.

        Raises `WrongSettingError` if one of the two is missing, and for a file that cannot be read.
        """
        name = f"{PREFIX}{store.upper()}_"
        user: str = getattr(self, f"{store}_username")
        secret: SecretStr = getattr(self, f"{store}_password")
        file: Path | None = getattr(self, f"{store}_password_file")
        password = secret.get_secret_value()
        if file is not None:
            if password:
                raise WrongSettingError(f"{name}PASSWORD and {name}PASSWORD_FILE: give one of them")
            password = password_in(f"{name}PASSWORD_FILE", file)
        if bool(user) is not bool(password):
            missing = f"{name}PASSWORD or {name}PASSWORD_FILE" if user else f"{name}USERNAME"
            raise WrongSettingError(f"{missing}: is missing, its counterpart is set")
        return user, password

    def authorities(self, store: str) -> Path | None:
        """The file with the certificates that are trusted for a store. Raises `WrongSettingError` if it has none."""
        file: Path | None = getattr(self, f"{store}_ca_file")
        if file is not None:
            checked_authorities(f"{PREFIX}{store.upper()}_CA_FILE", file)
        return file


class SecuritySettings(StoreSettings):
    """Who may reach the ports. Without any of it a process listens on loopback only, over plain text."""

    tls_certificate: Path | None = Field(default=None, description="PEM, the full chain; read again when it changes")
    tls_key: Path | None = Field(default=None, description="PEM, of tls_certificate")
    tls_client_ca: Path | None = Field(
        default=None, description="PEM; if given, every client needs a certificate of these authorities"
    )
    jwt_issuer: str = Field(default="", description="of bearer tokens; with jwt_audience and one of the two jwt_jwks_")
    jwt_audience: str = Field(default="", description="whom a token must be meant for")
    jwt_jwks_file: Path | None = Field(default=None, description="the issuer's public keys, read when it changes")
    jwt_jwks_url: str = Field(default="", description="https; asked every 5 minutes, and for unknown keys")
    jwt_roles_claim: str = Field(default="roles", min_length=1, description="the claim that has the roles")
    api_keys_file: Path | None = Field(default=None, description="TOML; `orderstream keys new` makes its entries")
    certificate_roles_file: Path | None = Field(
        default=None, description="TOML; the roles of the names in client certificates"
    )
    max_calls_per_caller: int = Field(default=200, gt=0, description="concurrent, if callers are known: CALLER_LIMITED")
    max_reads_per_caller: float = Field(default=500.0, ge=0, description="per second, if callers are known; 0: any")
    max_writes_per_caller: float = Field(default=200.0, ge=0, description="per second, if callers are known; 0: any")
    max_ops_per_caller: float = Field(default=20.0, ge=0, description="per second, of operators' calls; 0: any")
    insecure: bool = Field(
        default=False, description="true: open on an address that is not loopback, behind a service mesh or on a laptop"
    )
    max_connection_age: float = Field(
        default=1_800.0,
        gt=0,
        description="seconds until a client has to reconnect; not on loopback",
    )


class ProcessSettings(SecuritySettings):
    """Settings of every process that serves. Durations are in seconds."""

    former_names: ClassVar[Mapping[str, str]] = {
        "most_concurrent_calls": "max_concurrent_calls",
        "largest_request": "max_request_size",
    }

    host: str = Field(default="127.0.0.1", description="the address to listen on; 0.0.0.0 in a container")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["json", "console"] = Field(default="json", description="console: for people")
    metrics_port: int | None = Field(
        default=None, ge=0, le=65_535, description="serves Prometheus metrics if given; 0 takes a free one"
    )
    metrics_host: str = Field(default="127.0.0.1", description="the address of the metrics; clients as of the ports")
    grace: float = Field(default=10.0, ge=0, description="for calls in flight when stopping")
    max_concurrent_calls: int = Field(default=1_000, gt=0, description="above: SERVER_BUSY")
    max_request_size: int = Field(default=256 * 1024, gt=0, description="above: REQUEST_TOO_LARGE")
    reflection: bool | None = Field(default=None, description="of the services; none: on loopback only")

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


class Settings(ProcessSettings):
    """Settings of commands, queries and processes. Durations are in seconds, sizes in bytes."""

    former_names: ClassVar[Mapping[str, str]] = {
        **ProcessSettings.former_names,
        "longest_deadline": "max_deadline",
        "most_watches": "max_watches",
        "most_waiting_changes": "max_waiting_changes",
        "longest_retry": "max_retry_pause",
    }

    default_deadline: float = Field(default=10.0, gt=0, description="for calls that bring none")
    # a claim on an e-mail address is valid for five minutes: every command must end before that
    max_deadline: float = Field(default=60.0, gt=0, le=240.0, description="longer ones are cut to this")
    drain_delay: float = Field(
        default=5.0, ge=0, description="between NOT_SERVING and the end of new calls: a load balancer takes a while"
    )

    cached_aggregates: int = Field(default=10_000, gt=0, description="folded aggregates kept in memory")
    watch_heartbeat: float = Field(default=10.0, gt=0, description="without a change, a watch says so this often")
    max_watches: int = Field(default=500, gt=0, description="above: TOO_MANY_WATCHES")
    max_waiting_changes: int = Field(default=1_000, gt=0, description="per watch; above: WATCH_TOO_SLOW")
    snapshot_every: int = Field(default=250, ge=10, le=3_000, description="events of a stream between two snapshots")
    place_within: float = Field(default=3 * 24 * 3600.0, gt=0, description="a placed order expires after this")

    run_by_hand: bool = Field(
        default=False, description="no process service brings orders on: none of them gets a process by itself"
    )
    payments: str = Field(default="simulator", description="the provider, and its rules; only a simulator exists")
    orders_at_once: int = Field(default=16, gt=0, description="orders that the processes work on side by side")
    sweep_every: float = Field(
        default=60.0, gt=0, description="between two looks for orders that the group did not bring to their process"
    )
    step_within: float = Field(default=15.0, gt=0, description="for one attempt at a step of a process")
    step_attempts: int = Field(default=12, gt=1, description="then the step waits for an operator")
    first_retry: float = Field(default=0.5, gt=0, description="after a failure; each further pause is twice as long")
    max_retry_pause: float = Field(default=300.0, gt=0, description="the longest pause between two attempts")


S = TypeVar("S", bound=StoreSettings)


def from_environment(kind: type[S]) -> S:
    """The settings. Raises `WrongSettingError`."""
    former, directory = _former_values(kind), _secrets_directory()
    known: dict[str, Any] = former | _addresses_in_files()
    if directory is not None:
        known["_secrets_dir"] = directory
    try:
        return kind(**known)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise WrongSettingError("; ".join(_message(kind, problem, former) for problem in problems)) from None
    except SettingsError as error:  # a list or a mapping that is not JSON
        field = str(error).partition('field "')[2].partition('"')[0]
        raise WrongSettingError(f"{_variable(field)}: is not JSON") from None


def _addresses_in_files() -> dict[str, Any]:
    """The addresses of stores, which may have passwords, from the files that `…_FILE` names."""
    found = {}
    for field in ADDRESSES:
        variable = f"{_variable(field)}_FILE"
        if file := os.environ.get(variable):
            if os.environ.get(_variable(field)):
                raise WrongSettingError(f"{_variable(field)} and {variable}: give one of them")
            found[field] = password_in(variable, Path(file))
    return found


def _secrets_directory() -> Path | None:
    """A directory with a file for each setting that is a secret, as Docker and Kubernetes mount them."""
    given = os.environ.get(SECRETS_VARIABLE)
    directory = Path(given) if given else SECRETS_DIRECTORY
    if directory.is_dir():
        return directory
    if given:
        raise WrongSettingError(f"{SECRETS_VARIABLE}: {directory} is not a directory")
    return None


def renamed_variables(kind: type[StoreSettings]) -> dict[str, str]:
    """The variables that are set by a former name: their present names by the former ones."""
    present = _former_values(kind)
    return {_variable(former): _variable(name) for former, name in kind.former_names.items() if name in present}


def _former_values(kind: type[StoreSettings]) -> dict[str, Any]:  # texts, which pydantic converts
    """By present name: the values of variables that are set by a former name only. Raises `WrongSettingError`."""
    values = {variable.upper(): value for variable, value in os.environ.items() if value}
    found = {}
    for former, name in kind.former_names.items():
        value, present = values.get(_variable(former)), values.get(_variable(name))
        if value is None or value == present:
            continue
        if present is not None:
            raise WrongSettingError(
                f"{_variable(former)} is the former name of {_variable(name)}, and both are set to different values: "
                f"leave {_variable(former)} out"
            )
        found[name] = value
    return found


def _variable(field: str) -> str:
    return f"{PREFIX}{field.upper()}"


def _message(kind: type[StoreSettings], problem: Mapping[str, object], former: Mapping[str, str]) -> str:
    """One line about a wrong value, with the name of the variable that has it."""
    where = problem["loc"]
    assert isinstance(where, tuple), "pydantic has it so"
    field = str(where[0]) if where else ""
    text = str(problem["msg"]).removeprefix("Value error, ")
    declared = kind.model_fields.get(field)
    variable = _variable(next((name for name, now in kind.former_names.items() if now == field in former), field))
    if declared is None or not declared.repr or declared.annotation is SecretStr:
        return f"{variable}: {text}"
    value = str(problem["input"])
    shown = value if len(value) <= MAX_SHOWN_LENGTH else value[:MAX_SHOWN_LENGTH] + "…"
    return f"{variable}: {text}, not {shown!r}"


def password_in(variable: str, file: Path) -> str:
    """The content of a file, without the end of its line. Raises `WrongSettingError`."""
    try:
        password = _content(variable, file).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise WrongSettingError(f"{variable}: {file} is not UTF-8") from None
    if not password:
        raise WrongSettingError(f"{variable}: {file} is empty")
    return password


def checked_authorities(variable: str, file: Path) -> bytes:
    """The content of a file of certificates. Raises `WrongSettingError`."""
    content = _content(variable, file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with suppress(ssl.SSLError, ValueError):
        context.load_verify_locations(cadata=content.decode("ascii"))
    if not context.cert_store_stats()["x509"]:
        raise WrongSettingError(f"{variable}: {file} holds no certificate in PEM form")
    return content


def _content(variable: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise WrongSettingError(f"{variable}: cannot read {file}: {error.strerror}") from None
