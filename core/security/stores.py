"""Connections to stores on other machines use TLS, unless a setting allows plain text."""

import re
from ipaddress import ip_address
from urllib.parse import parse_qsl

from core.config import PREFIX, StoreSettings
from core.eventstore.address import Address, address_of, read_address_of
from core.failures import StoreTlsFailed

SWITCH = f"{PREFIX}INSECURE_STORES"
_MONGO = re.compile(r"(mongodb(?:\+srv)?)://(?:[^@/?]*@)?([^/?@]+)(?:/[^?@]*)?(?:\?([^@]*))?")
_PORT = re.compile(r":\d*$")


def require_tls_to_stores(settings: StoreSettings) -> None:
    """Raises `StoreTlsFailed`, and `WrongSettingError` for an address of the event store that cannot be used."""
    leader, reader = address_of(settings), read_address_of(settings)
    if settings.insecure_stores:
        return
    for variable, address in (("EVENTSTORE_URI", leader), ("EVENTSTORE_READ_URI", reader)):
        if address is not None and not address.tls and not all(is_loopback(_host(x)) for x in address.hosts):
            raise _plain("event", variable, "Tls=false does")
    if not _mongo_is_safe(settings):
        raise _plain("view", "MONGO_URI", "an address without tls=true does")


def safe_address_of(settings: StoreSettings) -> Address:
    """Where the leader of the event store is. Raises as `require_tls_to_stores` does."""
    require_tls_to_stores(settings)
    return address_of(settings)


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, and no other's."""
    name = host.strip("[]").lower()
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _plain(store: str, variable: str, which: str) -> StoreTlsFailed:
    remedy = f"{PREFIX}{variable} has to use TLS; {SWITCH}=true is for a service mesh or a laptop"
    return StoreTlsFailed(store, f"it is on another machine, and {which} without TLS", remedy)


def _host(address: str) -> str:
    return _PORT.sub("", address)


def _mongo_is_safe(settings: StoreSettings) -> bool:
    found = _MONGO.fullmatch(settings.mongo_uri)
    if found is None or settings.mongo_ca_file is not None:
        return True  # the driver reports a malformed address; with authorities there is TLS
    scheme, hosts, query = found.groups()
    options = {name.lower(): value.lower() for name, value in parse_qsl(query or "", keep_blank_values=True)}
    given = options.get("tls", options.get("ssl"))
    uses_tls = scheme == "mongodb+srv" if given is None else given == "true"
    return uses_tls or all(is_loopback(_host(host)) or host.startswith("%2f") for host in hosts.lower().split(","))
