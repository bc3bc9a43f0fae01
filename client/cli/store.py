"""`orderstream store …`: the state of the event store for a role, and the rights that it needs.

It runs on the machine of a role, with the settings of that role; it does not call the services.
"""

import json
import os
import subprocess
import sys
from typing import Annotated, NoReturn

import typer

from client.cli.output import AsJson, pass_on, print_json

COMMAND = (sys.executable, "-m", "server", "store")

store = typer.Typer(no_args_is_help=True, help="The event store: who we are to it, and what we may do.")


@store.command("check")
def check(
    role: Annotated[str, typer.Option(help="Of commands, queries, processes or projections; without it, of all.")] = "",
    as_json: AsJson = False,
) -> None:
    """Connect as a role does, and show its rights. Exit code 0: the role runs; 5: it does not; 2: a wrong setting."""
    arguments = ["check", *(["--role", role] if role else [])]
    if not as_json:
        _run(*arguments)
    done = subprocess.run([*COMMAND, *arguments, "--json"], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        print_json(json.loads(line))
    if done.returncode:
        pass_on(done.stderr, done.returncode)


@store.command("grant")
def grant(
    admin: Annotated[str, typer.Option("--as", metavar="ADMIN", help="A user of the event store in $admins.")],
    password_file: Annotated[str, typer.Option(help="Holds ADMIN's password; without it, you are asked.")] = "",
    to: Annotated[str, typer.Option(metavar="NAME", help="A user or a group of users; without it, our user.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Add the missing rights of our user to the access control lists, and create the group of this release if missing.

    Nothing is removed from a list. The plan is shown first.
    """
    given = {"--as": admin, "--password-file": password_file, "--to": to}
    options = [part for name, value in given.items() if value for part in (name, value)]
    _run("grant", *options, *(["--dry-run"] if dry_run else []), *(["--yes"] if yes else []))


def _run(*arguments: str) -> NoReturn:
    sys.stdout.flush()
    os.execv(sys.executable, [*COMMAND, *arguments])  # noqa: S606  # no shell
