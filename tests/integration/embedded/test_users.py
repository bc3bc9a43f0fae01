"""Users of a secure node: how they log in, how they are changed, and where they are kept."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
import pytest_asyncio
from esdbclient.protos.Grpc import shared_pb2

from embedded.eventstore.node import node
from embedded.eventstore.security.settings import Security
from tests.contract.eventstore.recorded.newer import message
from tests.support.secure_node import (
    ADMIN_PASSWORD,
    DENIED,
    GOSSIP,
    OK,
    SECURITY,
    SERVICES,
    STREAMS,
    UNAUTHENTICATED,
    USERS,
    Answer,
    Caller,
    answer_of,
    appending,
    batch,
    calling,
    reading,
    secure_node,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

GARBLED = "Exception was thrown by handler."
EVERY_KIND = {
    "a call that needs no user": (GOSSIP, shared_pb2.Empty()),
    "a read": (STREAMS + "Read", reading("order-1")),
    "an append": (STREAMS + "Append", *appending("order-1")),
    "batches": (STREAMS + "BatchAppend", batch("order-1")),
    "statistics of the node": (f"{SERVICES}monitoring.Monitoring/Stats", message("StatsReq")()),
    "a method that there is not": (STREAMS + "Guess", shared_pb2.Empty()),
    "a service that there is not": (f"{SERVICES}guesses.Guesses/Guess", shared_pb2.Empty()),
}


class Callers(NamedTuple):
    admin: Caller
    nobody: Caller

    async def user(self, name: str, *groups: str) -> Caller:
        """A new one, who has logged in once."""
        assert await self.admin.create_user(name, "first", *groups) == OK
        user = self.nobody.as_user(name, "first")
        assert await user.read(f"order-{name}") == OK
        return user


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def callers() -> AsyncIterator[Callers]:
    async with secure_node() as (admin, nobody):
        yield Callers(admin, nobody)


@pytest.mark.parametrize("kind", EVERY_KIND)
async def test_a_wrong_password_is_refused_by(callers: Callers, kind: str) -> None:
    assert await callers.nobody.as_user("admin", "wrong").answered(*EVERY_KIND[kind]) == UNAUTHENTICATED


async def test_an_unknown_user_is_refused_as_a_wrong_password_is(callers: Callers) -> None:
    assert await callers.nobody.as_user("stranger", ADMIN_PASSWORD).read("order-1") == UNAUTHENTICATED


@pytest.mark.parametrize(
    "header",
    [
        "Basic !!!",
        "Basic",
        "",
        "Bearer " + base64.b64encode(f"admin:{ADMIN_PASSWORD}".encode()).decode(),
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
    ],
)
@pytest.mark.parametrize("kind", ["a call that needs no user", "an append"])
async def test_a_garbled_header_fails_as_unknown(callers: Callers, kind: str, header: str) -> None:
    assert await callers.nobody.with_header(header).answered(*EVERY_KIND[kind]) == Answer("UNKNOWN", GARBLED)


async def test_a_password_may_hold_colons_and_any_letters(callers: Callers) -> None:
    assert await callers.admin.create_user("zoë", "a:b:ü") == OK

    assert await callers.nobody.as_user("zoë", "a:b:ü").read("order-1") == OK


async def test_a_disabled_user_is_refused_at_once_until_it_is_enabled(callers: Callers) -> None:
    user = await callers.user("dora")

    assert await callers.admin.disable_user("dora") == OK
    assert await user.read("order-1") == UNAUTHENTICATED
    assert await callers.admin.enable_user("dora") == OK
    assert await user.read("order-1") == OK


@pytest.mark.parametrize("by_admin", [True, False])
async def test_a_changed_password_is_refused_at_once(callers: Callers, by_admin: bool) -> None:
    name = f"paul-{by_admin}"
    user = await callers.user(name)

    changed = callers.admin.reset_password(name, "new") if by_admin else user.change_password(name, "first", "new")

    assert await changed == OK
    assert await user.read("order-1") == UNAUTHENTICATED
    assert await callers.nobody.as_user(name, "new").read("order-1") == OK


async def test_a_password_is_changed_only_with_the_present_one(callers: Callers) -> None:
    user = await callers.user("quentin")

    assert await user.change_password("quentin", "wrong", "new") == DENIED

    assert await user.read("order-1") == OK


async def test_a_deleted_user_is_refused_at_once_and_may_be_created_again(callers: Callers) -> None:
    user = await callers.user("emil")

    assert await callers.admin.delete_user("emil") == OK
    assert await user.read("order-1") == UNAUTHENTICATED
    assert await callers.admin.create_user("emil", "second") == OK
    assert await user.read("order-1") == UNAUTHENTICATED
    assert await callers.nobody.as_user("emil", "second").read("order-1") == OK


async def test_a_user_that_leaves_a_group_loses_its_rights_at_once(callers: Callers) -> None:
    user = await callers.user("fred", "$admins")
    assert await user.read("$users") == OK

    assert await callers.admin.update_user("fred", "orderstream") == OK

    assert await user.read("$users") == DENIED


async def test_creating_a_user_twice_is_one_user_unless_the_passwords_differ(callers: Callers) -> None:
    assert await callers.admin.create_user("gina", "first") == OK

    assert await callers.admin.create_user("gina", "first") == OK
    assert await callers.admin.create_user("gina", "other") == Answer(
        "FAILED_PRECONDITION", "Conflict.", "user-conflict"
    )
    assert [kind for kind, _ in await callers.admin.events("$user-gina")] == ["$UserCreated"]


async def test_details_report_everything_but_the_password(callers: Callers) -> None:
    await callers.user("hans", "orderstream", "$ops")
    assert await callers.admin.disable_user("hans") == OK

    [details] = await callers.admin.details("hans")
    everyone = [found.login_name for found in await callers.admin.details()]

    assert (details.full_name, list(details.groups), details.disabled) == ("Hans", ["orderstream", "$ops"], True)
    assert details.last_updated.ticks_since_epoch > 17 * 10**15
    assert everyone == sorted(everyone)
    assert {"admin", "ops", "hans"} <= set(everyone)


async def test_an_unknown_user_cannot_be_shown_or_changed(callers: Callers) -> None:
    not_found = Answer("NOT_FOUND", "User 'ghost' is not found.", "user-not-found")

    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await callers.admin.details("ghost")

    assert answer_of(failed.value) == not_found
    assert await callers.admin.update_user("ghost") == not_found
    assert await callers.admin.delete_user("ghost") == not_found
    assert await callers.admin.disable_user("ghost") == not_found
    assert await callers.admin.reset_password("ghost", "x") == not_found
    assert await callers.admin.change_password("ghost", "x", "y") == not_found


@pytest.mark.parametrize("method", ["Create", "Update", "Delete", "Disable", "Enable"])
async def test_a_request_without_options_fails_as_on_a_real_server(callers: Callers, method: str) -> None:
    assert await callers.admin.answered(USERS + method, message("UserReq")()) == Answer("UNKNOWN", GARBLED)


async def test_an_event_that_is_none_of_a_user_makes_no_user(callers: Callers) -> None:
    await callers.user("ida")

    assert await callers.admin.append("$user-ida", data={"loginName": "ida"}) == OK

    assert await callers.nobody.as_user("ida", "first").read("order-1") == UNAUTHENTICATED


async def test_users_are_events_as_on_a_real_server(callers: Callers) -> None:
    await callers.user("jane")
    assert await callers.admin.disable_user("jane") == OK

    assert [kind for kind, _ in await callers.admin.events("$user-jane")] == ["$UserCreated", "$UserUpdated"]
    assert ("$User", b"jane") in await callers.admin.events("$users")
    assert ("$PasswordChanged", b'{"loginName":"jane"}') in await callers.admin.events("$users-password-notifications")


async def test_a_call_that_is_open_goes_on_after_its_user_is_disabled(callers: Callers) -> None:
    user = await callers.user("kurt")
    answers = []

    async for answer in user.batches("order-kurt", "order-kurt"):
        answers.append(answer.WhichOneof("result"))
        assert await callers.admin.disable_user("kurt") == OK

    assert answers == ["success", "success"]


async def test_rights_that_are_taken_away_hold_for_the_next_batch_of_an_open_call(callers: Callers) -> None:
    user = await callers.user("lisa")
    answers = []

    async for answer in user.batches("order-lisa", "order-lisa"):
        answers.append(answer.WhichOneof("result"))
        assert await callers.admin.write_acl("order-lisa", {"$w": "$admins"}) == OK

    assert answers == ["success", "error"]


# ------------------------------------------------------------------ access control lists


async def test_an_empty_list_leaves_a_right_to_administrators(callers: Callers) -> None:
    user = await callers.user("mona")

    assert await callers.admin.write_acl("order-mona", {"$r": []}) == OK

    assert await user.read("order-mona") == DENIED
    assert await user.append("order-mona") == OK
    assert await callers.admin.read("order-mona") == OK


async def test_a_list_names_users_and_groups_alone_or_together(callers: Callers) -> None:
    nina, olga = await callers.user("nina"), await callers.user("olga", "shop")

    assert await callers.admin.write_acl("order-lists", {"$r": "nina", "$w": ["shop", "nina"], "$d": "shop"}) == OK

    assert [await user.read("order-lists") for user in (nina, olga)] == [OK, DENIED]
    assert [await user.append("order-lists") for user in (nina, olga)] == [OK, OK]
    assert [await user.delete("order-lists") for user in (nina, olga)] == [DENIED, OK]


async def test_everybody_in_a_list_is_everybody_who_is_logged_in(callers: Callers) -> None:
    user = await callers.user("petra")

    assert await callers.admin.write_acl("$shared", {"$r": "$all"}) == OK

    assert await user.read("$shared") == OK
    assert await callers.nobody.read("$shared") == DENIED


async def test_rights_to_metadata_are_rights_of_their_own(callers: Callers) -> None:
    user = await callers.user("rita")

    assert await user.write_acl("order-rita", {"$mr": "$admins", "$mw": "$admins"}) == OK

    assert await user.read("$$order-rita") == DENIED
    assert await user.write_acl("order-rita", {}) == DENIED
    assert await user.read("order-rita") == OK


async def test_a_deleted_stream_has_the_default_rights_again(callers: Callers) -> None:
    user = await callers.user("sara")
    assert await callers.admin.append("order-sara") == OK
    assert await callers.admin.write_acl("order-sara", {"$r": "$admins"}) == OK

    assert await callers.admin.delete("order-sara") == OK

    assert await user.read("order-sara") == OK


async def test_nobody_writes_to_everything_or_deletes_metadata(callers: Callers) -> None:
    assert await callers.admin.append("$all") == DENIED
    assert await callers.admin.delete("$$order-1") == DENIED


# ------------------------------------------------------------------ what is kept


async def test_users_survive_a_restart_and_first_passwords_apply_once(tmp_path: Path) -> None:
    async with node(tmp_path, security=SECURITY) as address, calling(address) as nobody:
        assert await nobody.as_user("admin", ADMIN_PASSWORD).create_user("tom", "of tom") == OK

    other = Security(admin_password="another", ops_password="another")
    async with node(tmp_path, security=other) as address, calling(address) as nobody:
        assert await nobody.as_user("tom", "of tom").read("order-1") == OK
        assert await nobody.as_user("admin", ADMIN_PASSWORD).read("order-1") == OK
        assert await nobody.as_user("admin", "another").read("order-1") == UNAUTHENTICATED


async def test_a_deleted_first_user_does_not_come_back(tmp_path: Path) -> None:
    async with node(tmp_path, security=SECURITY) as address, calling(address) as nobody:
        assert await nobody.as_user("admin", ADMIN_PASSWORD).delete_user("ops") == OK

    async with node(tmp_path, security=Security()) as address, calling(address) as nobody:
        assert await nobody.as_user("ops", "changeit").read("order-1") == UNAUTHENTICATED


def contents_of(directory: Path) -> list[bytes]:
    return [file.read_bytes() for file in directory.iterdir()]


async def test_no_password_is_in_any_file(tmp_path: Path) -> None:
    passwords = ["a first one", "a second one", ADMIN_PASSWORD]
    async with node(tmp_path, security=SECURITY) as address, calling(address) as nobody:
        admin = nobody.as_user("admin", ADMIN_PASSWORD)
        assert await admin.create_user("uwe", passwords[0]) == OK
        assert await admin.change_password("uwe", passwords[0], passwords[1]) == OK
        assert await nobody.as_user("uwe", passwords[1]).append("order-1") == OK
        contents = contents_of(tmp_path)

    contents += contents_of(tmp_path)
    assert any(b"$user-uwe" in content for content in contents)
    encoded = [base64.b64encode(f"uwe:{password}".encode()) for password in passwords]
    assert not [secret for secret in [p.encode() for p in passwords] + encoded for c in contents if secret in c]


async def test_an_open_node_asks_nobody() -> None:
    async with node(None) as address, calling(address) as nobody:
        garbled, stranger = nobody.with_header("Basic !!!"), nobody.as_user("stranger", "x")
        assert [await caller.append("$mine") for caller in (nobody, garbled, stranger)] == [OK, OK, OK]
        assert await nobody.answered(STREAMS + "Read", reading(None)) == OK
        assert (await nobody.create_user("x", "x")).code == "UNIMPLEMENTED"
        assert await nobody.write_acl("order-1", {"$r": []}) == OK
        assert await nobody.read("order-1") == OK
