"""The address of an event store: connection strings, parsed once and completely, and their printable form.

    esdb://[user:password@]host[:port][,host[:port]…][/][?parameter=value&…]

The schemes `kurrentdb`, `kurrent` and `kdb` mean the same. With `+discover`, or with several hosts, the node is
discovered among the members; a single host without it is the node itself. User and password are percent-decoded.
`PARAMETERS` has every parameter that other clients know; each is either used or refused by its name.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus, urlencode

from core.config import PREFIX, StoreSettings, WrongSettingError, checked_authorities

VARIABLE, READ_VARIABLE = f"{PREFIX}EVENTSTORE_URI", f"{PREFIX}EVENTSTORE_READ_URI"
SCHEMES = ("esdb", "kurrentdb", "kurrent", "kdb")
DEFAULT_PORT = 2113
PREFERENCES = ("leader", "follower", "random", "readonlyreplica")
HOST = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?", re.ASCII)
AUTHORITY = re.compile(rf"{HOST.pattern}(?:,{HOST.pattern})*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """`hosts` are host:port. `ca_file`: None stands for the authorities built into gRPC. Durations are in
    milliseconds.
    """

    hosts: tuple[str, ...]
    discover: bool
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = True
    ca_file: Path | None = None
    user_cert_file: Path | None = None
    user_key_file: Path | None = None
    node_preference: str = "leader"
    connection_name: str = ""
    gossip_timeout: int = 5_000
    keep_alive_interval: int = 10_000
    keep_alive_timeout: int = 10_000

    def __str__(self) -> str:
        return shown(f"esdb://{'x@' if self.username else ''}{','.join(self.hosts)}")

    @property
    def without_secrets(self) -> str:
        """For esdbclient, which receives credentials and certificates in another way."""
        known: dict[str, object] = {"Tls": self.tls, "NodePreference": self.node_preference}
        if self.connection_name:
            known["ConnectionName"] = self.connection_name
        user = "x:x@" if self.tls else ""  # it requires some
        return f"esdb://{user}{','.join(self.hosts)}?{urlencode(known)}"


def shown(uri: str) -> str:
    """A connection string, of any store and in any form, in printable form: without credentials and parameters."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return "***"
    credentials, at, hosts = rest.rpartition("@")
    hosts = re.split(r"[/?#]", hosts, maxsplit=1)[0]
    printable = hosts if AUTHORITY.fullmatch(hosts) else "***"
    return f"{scheme}://{'***@' if at or credentials else ''}{printable}"


def whereabouts(settings: StoreSettings, option: str = "") -> str:
    """For the operator of a store that does not answer: the address in use, and the variables that set another one."""
    named = f"{option} or {VARIABLE}" if option else VARIABLE
    return f"{shown(settings.eventstore_uri)}: is `orderstream up` running? {named} says where it is"


def address_of(settings: StoreSettings) -> Address:
    """The address of the leader. Raises `WrongSettingError`: every role writes, even if only for operators."""
    address = _with_settings(parsed(settings.eventstore_uri), settings)
    if address.node_preference != "leader":
        raise WrongSettingError(f"{VARIABLE}: nodePreference must be leader; {READ_VARIABLE} is for followers")
    return address


def read_address_of(settings: StoreSettings) -> Address | None:
    """The address for reads, if it is another one. Raises `WrongSettingError`."""
    if not settings.eventstore_read_uri:
        return None
    return _with_settings(parsed(settings.eventstore_read_uri, READ_VARIABLE), settings, READ_VARIABLE)


def _with_settings(address: Address, settings: StoreSettings, variable: str = VARIABLE) -> Address:
    username, password = settings.credentials("eventstore")
    if username:
        address = replace(address, username=username, password=password)
    ca_file = settings.authorities("eventstore")
    if ca_file is not None:
        address = replace(address, ca_file=ca_file)
    return checked(address, variable)


def parsed(uri: str, variable: str = VARIABLE) -> Address:
    """Raises `WrongSettingError`, which names `variable` and shows no secret."""
    try:
        return _parsed(uri)
    except ValueError as error:
        raise WrongSettingError(f"{variable}: {error}") from None


def checked(address: Address, variable: str = VARIABLE) -> Address:
    """The same address, if its parts can be used together. Raises `WrongSettingError`."""
    if ":" in address.username:
        raise WrongSettingError(f"{PREFIX}EVENTSTORE_USERNAME: a user name has no colon")
    if address.tls and not address.username and not address.user_cert_file:
        raise WrongSettingError(
            f"{variable}: an event store with TLS wants to know who we are: set {PREFIX}EVENTSTORE_USERNAME and"
            f" {PREFIX}EVENTSTORE_PASSWORD_FILE (Tls=false is for one without TLS and users)"
        )
    if bool(address.user_cert_file) is not bool(address.user_key_file):
        raise WrongSettingError(f"{variable}: userCertFile and userKeyFile need each other")
    return address


def _parsed(uri: str) -> Address:
    """Raises `ValueError` with the violated rule."""
    scheme, separator, rest = uri.strip().partition("://")
    name, _, discover = scheme.lower().partition("+")
    if not separator or name not in SCHEMES or discover not in ("", "discover"):
        raise ValueError(f"must begin with one of {', '.join(f'{x}://' for x in SCHEMES)}, or {SCHEMES[0]}+discover://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    if "@" in tail:
        raise ValueError(
            "user and password must be percent-encoded in it; those in"
            f" {PREFIX}EVENTSTORE_USERNAME and {PREFIX}EVENTSTORE_PASSWORD are taken as they are"
        )
    path, _, query = tail.partition("?")
    if path not in ("", "/") or "#" in query:
        raise ValueError("has parts that an event store's address does not have: only hosts and parameters")
    user, at, hosts = authority.rpartition("@")
    username, colon, password = user.partition(":")
    if at and not (username and colon and password):
        raise ValueError("user and password are both needed before the @")
    addresses = tuple(_host(host) for host in hosts.split(","))
    return Address(
        hosts=addresses,
        discover=bool(discover) or len(addresses) > 1,
        username=_decoded("the user name", username),
        password=_decoded("the password", password),
        **_parameters(query),
    )


def _host(text: str) -> str:
    found = HOST.fullmatch(text.strip())
    if found is None or not 0 < int(found[1] or DEFAULT_PORT) < 65_536:
        raise ValueError("its hosts must be host or host:port, with commas between them")
    return text.strip() if found[1] else f"{text.strip()}:{DEFAULT_PORT}"


def _decoded(what: str, text: str) -> str:
    if re.search("%(?![0-9a-fA-F]{2})", text):
        raise ValueError(f"{what} is not percent-encoded: a % is written %25")
    return unquote(text)


def _parameters(query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        key = name.lower()
        if key in seen:
            raise ValueError(f"{name} is given twice")
        seen.add(key)
        if key in REFUSED:
            raise ValueError(f"{name} is not supported: {REFUSED[key]}")
        if key not in PARAMETERS:
            raise ValueError(f"{name!r} is not a parameter of an address; there are {', '.join(NAMES)}")
        goes_to, read = PARAMETERS[key]
        try:
            found[goes_to] = read(unquote_plus(value))
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    found.pop("", None)
    return found


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return text.lower() == "true"


def _verified(text: str) -> bool:
    if not _yes_or_no(text):
        raise ValueError(
            f"cannot be false: certificates are always checked; {PREFIX}EVENTSTORE_CA_FILE says whom to trust"
        )
    return True


def _preference(text: str) -> str:
    if text.lower() not in PREFERENCES:
        raise ValueError(f"must be one of {', '.join(PREFERENCES)}")
    return text.lower()


def _milliseconds(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not int(text):
        raise ValueError("must be an integer number of milliseconds above 0, without a unit")
    return int(text)


def _seconds(text: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not int(text):
        raise ValueError("must be an integer number of seconds above 0, without a unit")
    return int(text) * 1_000


def _some_text(text: str) -> str:
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError("must be printable ASCII")
    return text


def _authorities(text: str) -> Path:
    checked_authorities("tlsCaFile", Path(text))  # a WrongSettingError is a ValueError that names the file
    return Path(text)


def _file(text: str) -> Path:
    try:
        Path(text).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    return Path(text)


# by the name of the parameter: its field of `Address` ("": none), and its parser
PARAMETERS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "tls": ("tls", _yes_or_no),
    "tlsverifycert": ("", _verified),
    "tlscafile": ("ca_file", _authorities),
    "usercertfile": ("user_cert_file", _file),
    "userkeyfile": ("user_key_file", _file),
    "nodepreference": ("node_preference", _preference),
    "connectionname": ("connection_name", _some_text),
    "gossiptimeout": ("gossip_timeout", _seconds),
    "keepaliveinterval": ("keep_alive_interval", _milliseconds),
    "keepalivetimeout": ("keep_alive_timeout", _milliseconds),
}
NAMES = (
    "tls", "tlsVerifyCert", "tlsCaFile", "userCertFile", "userKeyFile", "nodePreference", "connectionName",
    "gossipTimeout", "keepAliveInterval", "keepAliveTimeout",
)  # fmt: skip
REFUSED: Mapping[str, str] = {
    "maxdiscoverattempts": "a node is looked for until there is one",
    "discoveryinterval": "the pause between two searches grows from 0.1 to 1 second",
    "defaultdeadline": "calls have deadlines of their own, at most that of the caller",
    "throwonappendfailure": "a refused append always is a failure",
}
