"""`orderstream store check|grant` on a node with users and TLS, as an operator runs them."""

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from core.config import WrongSettingError
from core.failures import StoreUnauthenticated
from embedded.eventstore.node import node
from embedded.eventstore.security.settings import Security
from server import store_command
from tests.support.certificates import Certificate, certificate_in
from tests.support.secure_node import OK, calling

ADMIN_PASSWORD, PASSWORD, USER = "of the @dmin", "0f/us", "orderstream"
Run = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return certificate_in(tmp_path)


@pytest.fixture
async def address(certificate: Certificate) -> AsyncIterator[str]:
    security = Security(certificate=certificate.certificate, key=certificate.key, admin_password=ADMIN_PASSWORD)
    async with node(None, security=security) as address:
        async with calling(address, certificate.trust) as nobody:
            assert await nobody.as_user("admin", ADMIN_PASSWORD).create_user(USER, PASSWORD) == OK
        yield address


@pytest.fixture
def run(
    address: str, certificate: Certificate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run it with the settings of a role; exit code and output."""
    for name, value in (
        ("URI", f"esdb://{address}"),
        ("USERNAME", USER),
        ("PASSWORD", PASSWORD),
        ("CA_FILE", str(certificate.authority)),
    ):
        monkeypatch.setenv(f"ORDERSTREAM_EVENTSTORE_{name}", value)

    async def ran(*arguments: str) -> tuple[int, str]:
        code = await store_command.run(arguments)
        printed = capsys.readouterr()
        assert not [secret for secret in (ADMIN_PASSWORD, PASSWORD) if secret in printed.out + printed.err]
        lines = [line for line in printed.out.splitlines() if "connected to the event store" not in line]
        return code, "\n".join([*lines, ""])

    return ran


async def test_what_is_lacking_is_shown_granted_and_then_there(run: Run, tmp_path: Path, address: str) -> None:
    code, printed = await run("check")
    assert code == 5
    assert "  no   read $all: orderstream store grant --as ADMIN" in printed
    assert f"member       localhost:{address.partition(':')[2]} Leader" in printed
    assert f"esdb://***@{address}, TLS, as {USER}" in printed
    assert "commands: does not run like this" in printed

    file = tmp_path / "password"
    file.write_text(ADMIN_PASSWORD + "\n")
    given = ("grant", "--as", "admin", "--password-file", str(file))
    code, plan = await run(*given, "--dry-run")
    assert code == 0
    assert f'$r in the metadata of $all: $r "default" -> ["$admins", "{USER}"]' in plan
    assert "the group checkout on $all, from the start of the log" in plan
    assert (await run("check", "--role", "queries"))[0] == 5, "nothing was done"

    code, done = await run(*given, "--yes")
    assert (code, done) == (0, plan + "done: 3 changes\n")
    assert (await run(*given, "--yes"))[1] == f"{USER} has all that it needs\n"

    code, printed = await run("check", "--json")
    roles = {one["role"]: one for one in json.loads(printed)["roles"]}
    assert (code, {one["is_enough"] for one in roles.values()}) == (0, {True})
    assert roles["processes"]["has_group"] is True
    assert abs(roles["commands"]["behind"]) < 60


async def test_nobody_can_be_asked_where_there_is_no_terminal(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(WrongSettingError, match=r"^--password-file: "):
        await run("grant", "--as", "admin")
    file = tmp_path / "password"
    file.write_text(ADMIN_PASSWORD)
    with pytest.raises(WrongSettingError, match=r"^--yes: "):
        await run("grant", "--as", "admin", "--password-file", str(file))


async def test_a_wrong_password_of_the_administrator_is_reported(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("wrong")
    with pytest.raises(StoreUnauthenticated):
        await run("grant", "--as", "admin", "--password-file", str(file), "--yes")
