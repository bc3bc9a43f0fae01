"""Who may listen where: the one rule that every process starts by."""

from pathlib import Path
from typing import Any

import pytest

from core.config import Settings, WrongSettingError
from core.failures import StoreTlsFailed
from core.security.ports import ports_of
from core.security.stores import is_loopback, require_tls_to_stores
from projections.config import Settings as ProjectionSettings
from tests.support.certificates import Authority

ELSEWHERE = ["0.0.0.0", "::", "10.1.2.3", "shop.example"]
NODE = "esdb://store.example:2113?tls=false"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("certificates")
    made = {"tls_certificate": directory / "tls.pem", "tls_key": directory / "tls.key"}
    authority = Authority()
    authority.issue(made["tls_certificate"], made["tls_key"])
    return made | {"tls_client_ca": authority.write(directory / "ca.pem")}


def tls_of(files: dict[str, Any]) -> dict[str, Any]:
    return {name: file for name, file in files.items() if name != "tls_client_ca"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "[::1]", "localhost"])
def test_on_loopback_a_process_may_be_open(host: str) -> None:
    ports = ports_of(Settings(host=host))
    assert ports.certificates is None
    assert ports.options == ()


@pytest.mark.parametrize("kind", [Settings, ProjectionSettings])
@pytest.mark.parametrize("host", ELSEWHERE)
def test_elsewhere_an_open_process_does_not_start(kind: Any, host: str) -> None:
    with pytest.raises(WrongSettingError) as refused:
        ports_of(kind(host=host))
    printed = str(refused.value)
    assert printed.startswith(f"ORDERSTREAM_HOST: {host} ")
    assert "ORDERSTREAM_TLS_CERTIFICATE" in printed
    assert "ORDERSTREAM_INSECURE=true" in printed
    assert "\n" not in printed


@pytest.mark.parametrize("host", ELSEWHERE)
def test_elsewhere_it_starts_if_somebody_has_said_that_it_may_be_open(host: str) -> None:
    assert ports_of(Settings(host=host, insecure=True)).certificates is None


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "keys.toml"
    file.write_text(f'[[keys]]\nname = "till-3"\nroles = ["shop.write"]\nsha256 = "{"0" * 64}"\n')
    return file


@pytest.mark.parametrize("host", ELSEWHERE)
def test_elsewhere_it_needs_both_tls_and_a_way_to_know_who_calls(files: dict[str, Any], keys: Path, host: str) -> None:
    with pytest.raises(WrongSettingError, match="needs a way to know who calls"):
        ports_of(Settings(host=host, **tls_of(files)))
    with pytest.raises(WrongSettingError, match="needs TLS"):
        ports_of(Settings(host=host, api_keys_file=keys))
    closed = ports_of(Settings(host=host, api_keys_file=keys, **tls_of(files)))
    assert closed.certificates is not None
    assert closed.authenticator is not None


def test_reflection_is_on_on_loopback_only_unless_asked_for() -> None:
    assert ports_of(Settings()).reflection
    assert not ports_of(Settings(reflection=False)).reflection
    assert not ports_of(Settings(host="0.0.0.0", insecure=True)).reflection
    assert ports_of(Settings(host="0.0.0.0", insecure=True, reflection=True)).reflection


def test_metrics_are_on_loopback_unless_asked_for_elsewhere() -> None:
    assert Settings().metrics_host == "127.0.0.1"
    with pytest.raises(WrongSettingError, match="ORDERSTREAM_METRICS_HOST"):
        ports_of(Settings(metrics_host="0.0.0.0", metrics_port=0))


def test_connections_from_elsewhere_have_an_age_and_those_of_loopback_have_none(files: dict[str, Any]) -> None:
    closed = ports_of(Settings(host="0.0.0.0", insecure=True, max_connection_age=60, **tls_of(files)))
    assert closed.options == (("grpc.max_connection_age_ms", 60_000),)
    assert ports_of(Settings(**tls_of(files))).options == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("switch", [True, False])
@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (("tls_certificate",), "TLS_KEY"),
        (("tls_key",), "TLS_CERTIFICATE"),
        (("tls_client_ca",), "TLS_CERTIFICATE"),
        (("tls_certificate", "tls_client_ca"), "TLS_KEY"),
    ],
)
def test_half_of_a_configuration_never_starts(
    files: dict[str, Any], host: str, switch: bool, given: tuple[str, ...], missing: str
) -> None:
    with pytest.raises(WrongSettingError, match=f"ORDERSTREAM_{missing}: is missing"):
        ports_of(Settings(host=host, insecure=switch, **{name: files[name] for name in given}))


def test_a_key_of_another_certificate_never_starts(files: dict[str, Any], tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    Authority().issue(tmp_path / "other.pem", other)
    with pytest.raises(WrongSettingError, match="are not a certificate and its key"):
        ports_of(Settings(tls_certificate=files["tls_certificate"], tls_key=other))


@pytest.mark.parametrize("setting", ["tls_certificate", "tls_key", "tls_client_ca"])
def test_a_file_that_is_not_there_never_starts(files: dict[str, Any], setting: str) -> None:
    with pytest.raises(WrongSettingError, match=f"ORDERSTREAM_{setting.upper()}: cannot read"):
        ports_of(Settings(**{**files, setting: Path("/not/there")}))


@pytest.mark.parametrize(
    "stores",
    [
        {"eventstore_uri": NODE},
        {"eventstore_uri": "esdb://127.0.0.1:2113,store.example:2113?tls=false"},
        {"eventstore_read_uri": NODE},
        {"mongo_uri": "mongodb://views.example/"},
        {"mongo_uri": "mongodb://user:secret@views.example/orderstream?replicaSet=rs0"},
        {"mongo_uri": "mongodb://127.0.0.1,views.example"},
        {"mongo_uri": "mongodb://views.example/?tls=false"},
        {"mongo_uri": "mongodb+srv://views.example/?tls=false"},
    ],
)
def test_a_store_elsewhere_without_tls_is_refused(stores: dict[str, Any]) -> None:
    with pytest.raises(StoreTlsFailed) as refused:
        ports_of(Settings(**stores))
    assert "ORDERSTREAM_INSECURE_STORES=true" in refused.value.complaint
    assert "secret" not in refused.value.complaint
    with pytest.raises(StoreTlsFailed):
        ports_of(Settings(**stores, insecure=True))  # which is about our own ports
    require_tls_to_stores(Settings(**stores, insecure_stores=True))


@pytest.mark.parametrize(
    "stores",
    [
        {},
        {"eventstore_uri": "esdb://localhost:2113?tls=false"},
        {"eventstore_uri": "esdb://user:secret@store.example:2113"},
        {"mongo_uri": "mongodb://views.example/?TLS=true"},
        {"mongo_uri": "mongodb://views.example/?ssl=true"},
        {"mongo_uri": "mongodb+srv://views.example/"},
        {"mongo_uri": "mongodb://[::1]:27017,localhost"},
        {"mongo_uri": "mongodb://%2Frun%2Fmongodb.sock/"},
    ],
)
def test_stores_over_tls_or_on_this_machine_are_taken(stores: dict[str, Any]) -> None:
    require_tls_to_stores(Settings(**stores))


@pytest.mark.parametrize("name", ["127.0.0.1.example", "localhost.example", "0.0.0.0", "", "*"])
def test_what_only_looks_like_loopback_is_not(name: str) -> None:
    assert not is_loopback(name)
