"""Connection strings: every part is read or refused by its name, and no secret is shown."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import StoreSettings, WrongSettingError
from core.eventstore.address import Address, address_of, checked, parsed, read_address_of, shown

SECRET = "s3cr3t"


def settings(**given: object) -> StoreSettings:
    return StoreSettings.model_validate(given)


@pytest.mark.parametrize(
    ("uri", "hosts", "discover"),
    [
        ("esdb://one?tls=false", ("one:2113",), False),
        ("esdb://one:1?tls=false", ("one:1",), False),
        ("esdb+discover://one:1?tls=false", ("one:1",), True),
        ("esdb+discover://one:1,two,three:3?tls=false", ("one:1", "two:2113", "three:3"), True),
        ("esdb://one:1,two:2/?tls=false", ("one:1", "two:2"), True),
        ("kurrentdb://one:1?tls=false", ("one:1",), False),
        ("kurrentdb+discover://one:1?tls=false", ("one:1",), True),
        ("esdb://[::1]:2113?tls=false", ("[::1]:2113",), False),
    ],
)
def test_the_hosts_of_an_address(uri: str, hosts: tuple[str, ...], discover: bool) -> None:
    address = checked(parsed(uri))
    assert (address.hosts, address.discover) == (hosts, discover)


def test_every_parameter_that_is_known_is_honoured_whatever_its_case(tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    file.write_text("")
    address = parsed(
        f"esdb://u:p@one?TLS=true&TlsVerifyCert=true&nodePreference=Follower&connectionName=my%20name&gossipTimeout=3"
        f"&keepAliveInterval=100&KEEPALIVETIMEOUT=200&userCertFile={file}&userKeyFile={file}"
    )
    assert address == Address(
        hosts=("one:2113",), discover=False, username="u", password="p", node_preference="follower",
        connection_name="my name", gossip_timeout=3_000, keep_alive_interval=100, keep_alive_timeout=200,
        user_cert_file=file, user_key_file=file,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("http://one", "must begin with one of"),
        ("one:2113", "must begin with one of"),
        ("esdb+magic://one", "must begin with one of"),
        ("esdb://", "hosts must be host or host:port"),
        ("esdb://one,,two", "hosts must be host or host:port"),
        ("esdb://one:port", "hosts must be host or host:port"),
        ("esdb://one:70000", "hosts must be host or host:port"),
        ("esdb://one/database", "has parts that an event store's address does not have"),
        ("esdb://one?tls=false#part", "has parts that an event store's address does not have"),
        ("esdb://one?tls=maybe", "tls must be true or false"),
        ("esdb://one?tls=false&tls=true", "tls is given twice"),
        ("esdb://one?tlsVerifyCert=false", "tlsVerifyCert cannot be false: certificates are always checked"),
        ("esdb://one?tlsCaFile=/not/there.pem", "cannot read /not/there.pem"),
        ("esdb://one?userCertFile=/not/there.pem", "userCertFile cannot be read"),
        ("esdb://one?tls=false&nodePreference=boss", "nodePreference must be one of leader"),
        ("esdb://one?tls=false&keepAliveInterval=10s", "keepAliveInterval must be an integer number of milliseconds"),
        ("esdb://one?tls=false&gossipTimeout=0", "gossipTimeout must be an integer number of seconds"),
        ("esdb://one?tls=false&connectionName=", "connectionName must be printable ASCII"),
        ("esdb://one?tls=false&maxDiscoverAttempts=3", "maxDiscoverAttempts is not supported"),
        ("esdb://one?tls=false&defaultDeadline=10", "defaultDeadline is not supported"),
        ("esdb://one?tls=false&colour=red", "'colour' is not a parameter of an address"),
        ("esdb://one", "wants to know who we are"),
        ("esdb://u:p@one?userCertFile=/dev/null", "userCertFile and userKeyFile need each other"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_by_the_name_of_what_is_wrong(uri: str, says: str) -> None:
    with pytest.raises(WrongSettingError, match=r"^ORDERSTREAM_EVENTSTORE_URI: ") as refused:
        checked(parsed(uri))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "uri",
    [
        f"esdb://user:{SECRET}/more@one",
        f"esdb://user:{SECRET}#more@one",
        f"esdb://user:{SECRET}?more@one",
        f"esdb://user:{SECRET}%@one",
        f"esdb://user:{SECRET}",
        f"esdb://:{SECRET}@one",
        f"esdb://{SECRET}@one",
        f"esdb://user:{SECRET}@",
        f"http://user:{SECRET}@one",
        f"user:{SECRET}@one",
        f"esdb://user:{SECRET}@one/path",
        f"esdb://user:{SECRET}@one?tls=maybe",
        f"esdb://us:er:{SECRET}@one?colour=red",
    ],
)
def test_no_complaint_shows_the_password(uri: str) -> None:
    with pytest.raises(WrongSettingError) as refused:
        checked(parsed(uri))
    assert SECRET not in str(refused.value)
    assert SECRET not in shown(uri)


@given(user=st.text(min_size=1).filter(lambda x: ":" not in x), password=st.text(min_size=1))
def test_any_user_and_password_can_be_given_percent_encoded(user: str, password: str) -> None:
    address = checked(parsed(f"esdb://{quote(user, safe='')}:{quote(password, safe='')}@one:1"))
    assert (address.username, address.password) == (user, password)
    assert str(address) == "esdb://***@one:1"
    assert "password" not in repr(address)


@given(st.text(min_size=1, max_size=30))
def test_what_is_shown_of_a_string_has_nothing_of_its_credentials(password: str) -> None:
    secret = f"<{password}>"
    for uri in (f"esdb://u:{secret}@h:1", f"mongodb://u:{secret}@h:1/db?x=y", f"esdb://u:{secret}", f"u:{secret}@h"):
        assert secret not in shown(uri)


def test_settings_win_over_the_address_and_take_every_character(tmp_path: Path) -> None:
    password = "a@b:c/d#e?f%g ü\t&="
    file = tmp_path / "password"
    file.write_text(password + "\n")
    for how in ({"eventstore_password": password}, {"eventstore_password_file": file}):
        address = address_of(settings(eventstore_uri="esdb://u:p@one", eventstore_username="me", **how))
        assert (address.username, address.password) == ("me", password)
        assert password not in address.without_secrets + str(address) + repr(address)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"eventstore_username": "me"}, "ORDERSTREAM_EVENTSTORE_PASSWORD or ORDERSTREAM_EVENTSTORE_PASSWORD_FILE"),
        ({"eventstore_password": SECRET}, "ORDERSTREAM_EVENTSTORE_USERNAME"),
        ({"eventstore_username": "me", "eventstore_password_file": "/not/there"}, "cannot read /not/there"),
        ({"eventstore_username": "me", "eventstore_password_file": "/dev/null"}, "/dev/null is empty"),
        (
            {"eventstore_username": "me", "eventstore_password": SECRET, "eventstore_password_file": "/dev/null"},
            "give one of them",
        ),
        ({"eventstore_username": "m:e", "eventstore_password": SECRET}, "a user name has no colon"),
        ({"eventstore_ca_file": "/not/there.pem"}, "ORDERSTREAM_EVENTSTORE_CA_FILE: cannot read /not/there.pem"),
        ({"eventstore_ca_file": "/dev/null"}, "holds no certificate"),
        ({"eventstore_uri": "esdb://one?tls=false&nodePreference=follower"}, "nodePreference must be leader"),
    ],
)
def test_half_a_setting_is_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(WrongSettingError) as refused:
        address_of(settings(**{"eventstore_uri": "esdb://one?tls=false"} | given))
    assert says in str(refused.value)
    assert SECRET not in str(refused.value)


def test_followers_have_an_address_of_their_own_and_the_same_credentials() -> None:
    both = settings(
        eventstore_uri="esdb://one",
        eventstore_read_uri="esdb://one,two?nodePreference=follower",
        eventstore_username="me",
        eventstore_password=SECRET,
    )
    reads = read_address_of(both)
    assert reads is not None
    assert (reads.node_preference, reads.username, reads.password) == ("follower", "me", SECRET)
    assert read_address_of(settings()) is None
    with pytest.raises(WrongSettingError, match=r"^ORDERSTREAM_EVENTSTORE_READ_URI: "):
        read_address_of(settings(eventstore_read_uri="nonsense"))
