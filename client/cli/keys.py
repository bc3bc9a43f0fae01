"""`orderstream keys`: API keys for those who have no identity provider."""

from typing import Annotated

import typer

from client.api_keys import ROLES, new_key, toml_entry
from client.cli.output import AsJson, err, fail, out, print_json

keys = typer.Typer(no_args_is_help=True, help="API keys, whose hashes are in the file ORDERSTREAM_API_KEYS_FILE.")


@keys.callback()
def about() -> None:
    """So that it stays a group with one command in it."""


@keys.command("new")
def new(
    name: Annotated[str, typer.Option(help="Who calls with it; events and acts record it as the actor.")],
    role: Annotated[list[str], typer.Option(help=f"May be given again: {', '.join(ROLES)}.")],
    customer: Annotated[str, typer.Option(help="The customer_id, for the role customer.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once, on stdout; only its hash is written down, in the entry for the file."""
    if unknown := [one for one in role if one not in ROLES]:
        fail(f"there is no role {unknown[0]}; there are {', '.join(ROLES)}", 2)
    if any(not one.isprintable() or '"' in one or "\\" in one for one in (name, customer)):
        fail("--name and --customer must not have quotes or backslashes", 2)
    key = new_key()
    entry = toml_entry(key, name, role, customer)
    if as_json:
        print_json({"key": key, "entry": entry})
    else:
        out.print(key)
        err.print(f"This is shown once. For the file of keys:\n\n{entry}", soft_wrap=True)
