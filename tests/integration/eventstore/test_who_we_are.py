"""An event store with TLS, users and rights: what each role needs, how it is granted, and what a refusal says."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
import trustme
from esdbclient import NewEvent, StreamState
from pydantic import SecretStr

from core.config import Settings
from core.eventstore import checkout_group
from core.eventstore.address import Address
from core.eventstore.connection import Client, connect
from core.eventstore.grants import GrantOutdated, planned
from core.eventstore.log import EventLog
from core.eventstore.persistent import ALL, Groups, parked_stream
from core.eventstore.rights import NEEDED, OPERATE, READ_ALL, READ_PARKED, WRITE, reports
from core.failures import (
    StorePermissionDenied,
    StoreRefusal,
    StoreTlsFailed,
    StoreUnauthenticated,
)
from core.rpc.errors import STATUS
from embedded.eventstore.node import node
from embedded.eventstore.security.settings import Security
from projections.app import serving as projections
from projections.config import Settings as ProjectionSettings
from projections.lifecycle.audit_log import AuditEntry, AuditLog
from server.app import serving
from tests.support.certificates import Certificate, certificate_in
from tests.support.eventually import eventually
from tests.support.processes import free_port
from tests.support.secure_node import OK, calling

pytestmark = pytest.mark.asyncio(loop_scope="module")
ADMIN_PASSWORD = "the @dmin's: p/ss#w?rd%"
PASSWORD = "s3cr3t/of:our@own"
ROLES = ("commands", "queries", "processes", "projections")


@pytest.fixture(autouse=True)
def no_secret_is_printed(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    printed = capsys.readouterr()
    assert not [secret for secret in (PASSWORD, ADMIN_PASSWORD) if secret in printed.out + printed.err]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate_in(tmp_path_factory.mktemp("certificates"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(certificate: Certificate) -> AsyncIterator[str]:
    security = Security(certificate=certificate.certificate, key=certificate.key, admin_password=ADMIN_PASSWORD)
    async with node(None, security=security) as address:
        yield address


def settings_of(address: str, certificate: Certificate, user: str, password: str = PASSWORD, **more: Any) -> Settings:
    return Settings(
        eventstore_uri=f"esdb://{address}",
        eventstore_username=user,
        eventstore_password=SecretStr(password),
        eventstore_ca_file=certificate.authority,
        grace=1.0,
    ).model_copy(update=more)


def address_for(address: str, certificate: Certificate, user: str, password: str) -> Address:
    return Address(hosts=(address,), discover=False, username=user, password=password, ca_file=certificate.authority)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(address: str, certificate: Certificate) -> AsyncIterator[Client]:
    client = await connect(address_for(address, certificate, "admin", ADMIN_PASSWORD))
    yield client
    await client.close()


@pytest_asyncio.fixture(loop_scope="module")
async def user(address: str, certificate: Certificate) -> str:
    """A new one in no group."""
    name = f"user-{uuid4().hex[:8]}"
    async with calling(address, certificate.trust) as nobody:
        assert await nobody.as_user("admin", ADMIN_PASSWORD).create_user(name, PASSWORD) == OK
    return name


@pytest_asyncio.fixture(loop_scope="module")
async def ours(address: str, certificate: Certificate, user: str) -> AsyncIterator[Client]:
    client = await connect(address_for(address, certificate, user, PASSWORD))
    yield client
    await client.close()


async def grant(admin: Client, user: str) -> list[str]:
    steps = await planned(admin, user)
    for step in steps:
        await step.apply()
    return [step.what for step in steps]


# ---------------------------------------------------------------- rights


async def test_a_user_in_no_group_lacks_what_every_role_needs_and_the_report_says_how_to_get_it(ours: Client) -> None:
    for printed in await reports(ours, list(NEEDED)):
        lacking = {right.name: right.how for right in printed.rights if not right.is_granted}
        assert lacking.pop(READ_ALL) == "orderstream store grant --as ADMIN"
        assert lacking.keys() <= {READ_PARKED, OPERATE}, "any user may read and write streams"
        assert not printed.is_enough


async def test_what_is_granted_is_enough_for_every_role_and_granting_it_again_changes_nothing(
    admin: Client, ours: Client, user: str
) -> None:
    assert await grant(admin, user)
    for printed in await reports(ours, list(NEEDED)):
        assert printed.is_enough
        assert {right.name for right in printed.rights if not right.is_granted} <= {OPERATE}
        assert (printed.user, printed.version, printed.has_group) == (
            user,
            "24.10.14",
            True if printed.role == "processes" else None,
        )
        assert [member.state for member in printed.members] == ["Leader"]
    assert printed.behind is not None
    assert await planned(admin, user) == []


async def test_a_grant_keeps_what_stands_in_the_lists(admin: Client, user: str) -> None:
    stream = parked_stream(ALL, checkout_group.NAME)
    for name, acl in ((ALL, {"$r": "somebody", "$mr": ["x"]}), (stream, {"$w": "y"})):
        await set_metadata(admin, name, {"$acl": acl, "$maxAge": 7, "theirs": 1})
    await grant(admin, user)
    of_all, _ = await admin.get_stream_metadata(ALL)
    assert of_all == {"$acl": {"$r": ["somebody", user], "$mr": ["x"]}, "$maxAge": 7, "theirs": 1}
    of_parked, _ = await admin.get_stream_metadata(stream)
    assert of_parked == {"$acl": {"$w": "y", "$r": ["$admins", user]}, "$maxAge": 7, "theirs": 1}


async def test_a_grant_keeps_those_who_may_read_by_the_default_of_the_store(admin: Client, user: str) -> None:
    await set_metadata(admin, ALL, {})
    await set_default(admin, {"$systemStreamAcl": {"$r": ["$admins", "reporting"]}})
    try:
        await grant(admin, user)
        of_all, _ = await admin.get_stream_metadata(ALL)
        assert of_all["$acl"]["$r"] == ["$admins", "reporting", user]
        await set_metadata(admin, ALL, {})
        await set_default(admin, {"$systemStreamAcl": {"$r": "$all"}})
        assert not [step.what for step in await planned(admin, user) if "$r in the metadata" in step.what]
    finally:
        await set_default(admin, {})


async def set_default(admin: Client, content: dict[str, Any]) -> None:
    event = NewEvent(type="update-default-acl", data=json.dumps(content).encode())
    await admin.append_to_stream("$settings", current_version=StreamState.ANY, events=[event])


async def test_a_client_certificate_is_shown_to_the_node(certificate: Certificate) -> None:
    address = Address(
        hosts=("127.0.0.1:9",), discover=False, user_cert_file=certificate.certificate, user_key_file=certificate.key
    )
    client = Client(address)
    assert client.certificate_chain == certificate.certificate.read_bytes()
    assert client.private_key == certificate.key.read_bytes()


async def test_a_grant_is_refused_if_a_list_has_changed_meanwhile(admin: Client, user: str) -> None:
    [first, *_] = await planned(admin, user)
    await set_metadata(admin, ALL, {"$acl": {"$r": ["$admins", "another"]}})
    with pytest.raises(GrantOutdated):
        await first.apply()
    of_all, _ = await admin.get_stream_metadata(ALL)
    assert of_all["$acl"]["$r"] == ["$admins", "another"]


async def test_a_store_that_is_closed_by_its_settings_is_opened_to_us_alone(
    admin: Client, ours: Client, user: str
) -> None:
    closed = {right: ["$admins", "others"] for right in ("$r", "$w", "$mr", "$mw")} | {"$d": "$admins"}
    rest = dict.fromkeys(("$r", "$w", "$d", "$mr", "$mw"), "$admins")
    event = NewEvent(
        type="update-default-acl", data=json.dumps({"$userStreamAcl": closed, "$systemStreamAcl": rest}).encode()
    )
    await admin.append_to_stream("$settings", current_version=StreamState.ANY, events=[event])
    try:
        assert WRITE in {x.name for x in (await reports(ours, ["commands"]))[0].rights if not x.is_granted}
        await grant(admin, user)
        assert (await reports(ours, ["commands"]))[0].is_enough
        [last] = [e async for e in admin.events_of_stream("$settings", backwards=True, limit=1)]
        printed = json.loads(last.data)
        assert printed["$userStreamAcl"]["$w"] == ["$admins", "others", user]
        assert (printed["$userStreamAcl"]["$d"], printed["$systemStreamAcl"]) == ("$admins", rest)
    finally:
        open_again = NewEvent(type="update-default-acl", data=b"{}")
        await admin.append_to_stream("$settings", current_version=StreamState.ANY, events=[open_again])


async def set_metadata(admin: Client, stream: str, metadata: dict[str, Any]) -> None:
    await admin.set_stream_metadata(stream, metadata=metadata, current_version=StreamState.ANY)


# ---------------------------------------------------------------- refusals


async def refused(settings: Settings, role: str) -> StoreRefusal:
    served = (
        projections(ProjectionSettings.model_validate(settings.model_dump()), port=0)
        if role == "projections"
        else serving(role, settings, port=0)
    )
    with pytest.raises(StoreRefusal) as refusal:
        async with asyncio.timeout(20), served:
            pass
    assert PASSWORD not in refusal.value.complaint
    assert refusal.value.retry_after is None
    return refusal.value


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_does_not_start_with_a_wrong_password(address: str, certificate: Certificate, role: str) -> None:
    found = await refused(settings_of(address, certificate, "admin"), role)
    assert isinstance(found, StoreUnauthenticated)
    assert "ORDERSTREAM_EVENTSTORE_PASSWORD_FILE" in found.complaint


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_does_not_start_without_the_right_to_read_the_log(
    admin: Client, address: str, certificate: Certificate, user: str, role: str
) -> None:
    await set_metadata(admin, ALL, {})
    found = await refused(settings_of(address, certificate, user), role)
    assert isinstance(found, StorePermissionDenied)
    assert (found.metadata["right"], found.metadata["on"]) == ("read", ALL)
    assert "orderstream store check" in found.complaint


async def test_a_certificate_of_an_authority_that_is_not_trusted_is_named(address: str, tmp_path: Path) -> None:
    strangers = certificate_in(tmp_path)
    found = await refused(settings_of(address, strangers, "admin"), "commands")
    assert isinstance(found, StoreTlsFailed)
    assert f"the certificate of {address} is not accepted" in str(found)
    assert str(strangers.authority) in found.complaint


@pytest.mark.parametrize(
    ("names", "until", "check"),
    [
        (["elsewhere.example"], timedelta(days=1), "IP address mismatch"),
        (["localhost", "127.0.0.1"], -timedelta(hours=1), "certificate has expired"),
    ],
)
async def test_the_check_that_a_certificate_fails_is_named(
    tmp_path: Path, names: list[str], until: timedelta, check: str
) -> None:
    authority = trustme.CA()
    now = datetime.now(UTC)
    leaf = authority.issue_cert(*names, not_before=now - timedelta(days=2), not_after=now + until)
    files = Certificate(tmp_path / "ca.pem", tmp_path / "node.pem", tmp_path / "node.key")
    authority.cert_pem.write_to_path(str(files.authority))
    leaf.private_key_pem.write_to_path(str(files.key))
    leaf.cert_chain_pems[0].write_to_path(str(files.certificate))
    async with node(None, security=Security(certificate=files.certificate, key=files.key)) as address:
        found = await refused(settings_of(address, files, "admin"), "commands")
    assert isinstance(found, StoreTlsFailed)
    assert check in str(found)


async def test_plain_text_to_a_port_with_tls_and_tls_to_one_without_are_distinguished(
    address: str, certificate: Certificate
) -> None:
    found = await refused(Settings(eventstore_uri=f"esdb://{address}?tls=false"), "commands")
    assert isinstance(found, StoreTlsFailed)
    assert f"{address} speaks TLS only" in str(found)
    async with node(None) as plain:
        found = await refused(settings_of(plain, certificate, "admin"), "commands")
    assert isinstance(found, StoreTlsFailed)
    assert f"{plain} does not speak TLS" in str(found)
    assert "Tls=false" in found.complaint


async def test_a_node_that_is_away_is_no_refusal(certificate: Certificate) -> None:
    for way in (
        settings_of("127.0.0.1:9", certificate, "admin"),
        Settings(eventstore_uri="esdb://127.0.0.1:9?tls=false"),
    ):
        async with serving("commands", way, port=0) as serves:
            assert serves


# ---------------------------------------------------------------- later


async def test_a_password_that_is_changed_meanwhile_is_reported_and_the_old_one_works_again_when_it_is_back(
    address: str, certificate: Certificate, ours: Client, user: str
) -> None:
    async with calling(address, certificate.trust) as nobody:
        administrator = nobody.as_user("admin", ADMIN_PASSWORD)
        assert await administrator.reset_password(user, "another") == OK
        with pytest.raises(StoreUnauthenticated), ours.calling():
            await ours.append_to_stream(
                "order-1", current_version=StreamState.ANY, events=[NewEvent(type="T", data=b"")]
            )
        await eventually(lambda: trouble(ours), lambda now: "does not accept the credentials" in now)
        with pytest.raises(StoreRefusal), ours.calling():
            await ours.ready()
        assert await administrator.reset_password(user, PASSWORD) == OK
        await eventually(lambda: trouble(ours), lambda now: not now)


async def trouble(client: Client) -> str:
    return client.trouble


async def test_a_right_that_is_lacking_names_itself_and_the_stream(ours: Client) -> None:
    event = NewEvent(type="T", data=b"")
    for call, right, on in (
        (lambda: ours.append_to_stream("$mine", current_version=StreamState.ANY, events=[event]), "write", "$mine"),
        (lambda: ours.set_stream_metadata(ALL, metadata={}), "write the metadata of", ALL),
        (lambda: ours.get_stream_metadata("$users"), "read the metadata of", "$users"),
        (lambda: Groups(EventLog(ours)).create_on_all("g", 0), "create a persistent subscription on", ALL),
        (lambda: Groups(EventLog(ours)).restart(), "restart", "persistent subscriptions"),
    ):
        with pytest.raises(StorePermissionDenied) as refused, ours.calling():
            await call()
        assert (refused.value.metadata["right"], refused.value.metadata["on"]) == (right, on)


async def test_a_group_that_is_missing_and_cannot_be_made_keeps_the_processes_from_starting(
    admin: Client, address: str, certificate: Certificate, user: str
) -> None:
    await grant(admin, user)
    await Groups(EventLog(admin)).delete(ALL, checkout_group.NAME)
    found = await refused(settings_of(address, certificate, user), "processes")
    assert isinstance(found, StorePermissionDenied)
    assert found.metadata["right"] == "create a persistent subscription on"
    await checkout_group.create_missing(Groups(EventLog(admin)))
    async with serving("processes", settings_of(address, certificate, user), port=0) as serves:
        assert serves


async def test_an_act_that_is_refused_is_recorded_once_and_is_not_worth_a_retry(
    admin: Client, ours: Client, user: str
) -> None:
    await grant(admin, user)
    audit_log, groups = AuditLog(ours), Groups(EventLog(ours))
    act = AuditEntry(act="RestartSubscriptions", subject=str(uuid4()), actor="ann", reason="a test")
    with pytest.raises(StorePermissionDenied) as refused:
        async with audit_log.recorded(act):
            await groups.restart()
    assert refused.value.retry_after is None
    recorded = [one.act for one in await audit_log.latest(10) if one.act.subject == act.subject]
    assert [bool(one.failure) for one in recorded] == [True, False]
    assert "does not permit this process to restart persistent subscriptions" in recorded[0].failure


async def test_a_store_that_comes_late_and_refuses_is_reported_by_health_in_its_own_words(
    certificate: Certificate, capsys: pytest.CaptureFixture[str]
) -> None:
    port, said = free_port(), ""
    late = Security(certificate=certificate.certificate, key=certificate.key)

    async def output() -> str:
        nonlocal said
        said += capsys.readouterr().out
        return said

    async with serving("commands", settings_of(f"127.0.0.1:{port}", certificate, "admin"), port=0):
        await eventually(output, lambda now: "not serving" in now and "does not answer" in now)
        async with node(None, security=late, port=port):
            await eventually(
                output, lambda now: "StoreUnauthenticated: the event store does not accept the credentials" in now
            )
    assert PASSWORD not in said


async def test_no_refusal_is_worth_a_retry_of_a_client() -> None:
    for kind in (StoreTlsFailed, StoreUnauthenticated, StorePermissionDenied):
        assert STATUS[kind.reason] is grpc.StatusCode.FAILED_PRECONDITION
