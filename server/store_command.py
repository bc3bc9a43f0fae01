"""`python -m server store check|grant`: the state of the event store for a role, and the rights that it needs.

The settings of the stores have its address and our user; `orderstream store` calls this. Exit codes: 0 success · 1
declined · 2 a wrong setting or argument · 5 the store, or a right, is missing.
"""

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from core.config import PREFIX, StoreSettings, WrongSettingError, from_environment, password_in
from core.eventstore.address import Address, whereabouts
from core.eventstore.checkout_group import NAME
from core.eventstore.connection import connect
from core.eventstore.grants import planned
from core.eventstore.rights import GRANT, NEEDED, Report, reports
from core.process import NO_STORE, configure_logging, ended_well
from core.security.stores import safe_address_of

DECLINED = 1  # exit code
MAX_DIFFERENCE = 1.0  # seconds between two clocks, above which it is reported


def main(arguments: Sequence[str]) -> int:
    configure_logging("CRITICAL")  # errors are one line, the rest is in the report
    return ended_well(lambda: asyncio.run(run(arguments)), lambda: whereabouts(from_environment(StoreSettings)))


async def run(arguments: Sequence[str]) -> int:
    """The exit code. Raises `WrongSettingError` and a `StoreFailure`."""
    parser = argparse.ArgumentParser(prog="python -m server store", description="The event store, as a role finds it.")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="who we are to it, and what we may do")
    checking.add_argument("--role", choices=sorted(NEEDED), help="of this role; without it, of all")
    checking.add_argument("--json", action="store_true", help="one JSON object")
    granting = commands.add_parser("grant", help="add what our user lacks to the access control lists")
    granting.add_argument("--as", dest="admin", required=True, metavar="ADMIN", help="a user in $admins")
    granting.add_argument("--password-file", type=Path, help="ADMIN's; without it, it is asked for")
    granting.add_argument("--to", default="", metavar="NAME", help="a user or a group of users (our user)")
    granting.add_argument("--dry-run", action="store_true", help="only show the plan")
    granting.add_argument("--yes", action="store_true", help="do not ask")
    given = parser.parse_args(arguments)
    return await (_check if given.command == "check" else _grant)(given)


async def _check(given: argparse.Namespace) -> int:
    address = safe_address_of(from_environment(StoreSettings))
    client = await connect(address)
    try:
        roles = [given.role] if given.role else list(NEEDED)
        found = await reports(client, roles)
    finally:
        await client.close()
    if given.json:
        roles = [asdict(one) | {"is_enough": one.is_enough} for one in found]
        print(json.dumps({"address": str(address), "roles": roles}))  # noqa: T201  # the result
    else:
        _show(address, found)
    return 0 if all(one.is_enough for one in found) else NO_STORE


def _show(address: Address, found: Sequence[Report]) -> None:
    first = found[0]
    over = "TLS" if address.tls else "no TLS"
    lines = [
        f"event store  {address}, {over}, as {first.user or 'no user'}",
        f"node         {first.node}, version {first.version or 'unknown'}",
        *(f"member       {one.address} {one.state}{'' if one.is_alive else ', not alive'}" for one in first.members),
    ]
    behind = next((one.behind for one in found if one.behind is not None), None)
    if behind is not None:
        noted = "" if abs(behind) <= MAX_DIFFERENCE else "; set the clocks"
        lines.append(f"clock        {abs(behind):.3f} s {'behind' if behind > 0 else 'before'} this machine{noted}")
    for one in found:
        lines.append(f"{one.role}{'' if one.is_enough else ': does not run like this'}")
        for right in one.rights:
            how = "" if right.is_granted else f"{'' if right.is_needed else ' (it runs without)'}: {right.how}"
            lines.append(f"  {'yes' if right.is_granted else 'no '}  {right.name}{how}")
        if one.has_group is not None:
            missing = f": `{GRANT}` makes it, and so does the first start of one who may"
            lines.append(
                f"  {'yes' if one.has_group else 'no '}  the group {NAME} on $all{'' if one.has_group else missing}"
            )
    print("\n".join(lines))  # noqa: T201  # the result


async def _grant(given: argparse.Namespace) -> int:
    ours = safe_address_of(from_environment(StoreSettings))
    user = given.to or ours.username
    if not user:
        raise WrongSettingError(f"{PREFIX}EVENTSTORE_USERNAME: is not set, so say --to whom")
    password = password_in("--password-file", given.password_file) if given.password_file else _asked(given.admin)
    client = await connect(replace(ours, username=given.admin, password=password))
    try:
        steps = await planned(client, user)
        for step in steps:
            print(step.what)  # noqa: T201  # the result
        if not steps:
            print(f"{user} has all that it needs")  # noqa: T201  # the result
        if not steps or given.dry_run:
            return 0
        if not given.yes and not _agreed():
            sys.stderr.write("nothing was done\n")
            return DECLINED
        for step in steps:
            await step.apply()
        print(f"done: {len(steps)} changes")  # noqa: T201  # the result
    finally:
        await client.close()
    return 0


def _asked(admin: str) -> str:
    if not sys.stdin.isatty():
        raise WrongSettingError("--password-file: is required without a terminal")
    return getpass.getpass(f"password of {admin}: ")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise WrongSettingError("--yes: is required without a terminal")
    return input("write this? [y/N] ").strip().lower() in ("y", "yes")
