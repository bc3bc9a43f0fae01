"""The entry point: options that every command shares, and the tree of commands."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from client.cli import local, output, shop
from client.cli.connect import TARGET, tls_of, token_of
from client.cli.demo import demo
from client.cli.events import events
from client.cli.keys import keys
from client.cli.payments import payments
from client.cli.processes import processes
from client.cli.profiles import FILE, PLACES, profile
from client.cli.projections import projections as projections_
from client.cli.returns import returns
from client.cli.status import status
from client.cli.store import store
from client.cli.subscriptions import subscriptions
from client.cli.watch import watch
from client.sdk import Addresses

WIDE = "--wide"


class Commands(TyperGroup):
    """--wide may stand anywhere. With --json, a wrong command line is reported like every other failure."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **how: Any) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        output.SHAPE.is_wide = WIDE in words
        words = args = [word for word in words if word != WIDE]
        if not output.want_json("--json" in words):
            return super().main(args, *more, **how)
        try:
            sys.exit(super().main(args, *more, **how | {"standalone_mode": False}) or 0)
        except typer.TyperException as error:
            output.print_error(error.format_message(), error.exit_code, reason="COMMAND_LINE")
            sys.exit(error.exit_code)
        except typer.Abort:
            output.print_error("aborted", output.DECLINED)
            sys.exit(output.DECLINED)


ABOUT = """Runs orderstream, an event-sourced order management system, and sends it commands and queries.

Results go to stdout, progress and errors to stderr. With --json, stdout has JSON objects only, one a line.
"""
EXIT_CODES = (
    "Exit codes: 0 done · 1 it ran, and found differences or failed · 2 the command line is wrong"
    " · 3 a rule or the input was refused · 4 not found · 5 unavailable or too late: try again"
)
app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help=ABOUT)

DEFAULTS = Addresses()


@app.callback(epilog=EXIT_CODES)
def options(
    context: typer.Context,
    commands: Annotated[str, typer.Option(envvar="ORDERSTREAM_COMMANDS", help="host:port")] = DEFAULTS.commands,
    queries: Annotated[str, typer.Option(envvar="ORDERSTREAM_QUERIES", help="host:port")] = DEFAULTS.queries,
    projections: Annotated[
        str, typer.Option(envvar="ORDERSTREAM_PROJECTIONS", help="host:port")
    ] = DEFAULTS.projections,
    processes_: Annotated[
        str, typer.Option("--processes", envvar="ORDERSTREAM_PROCESSES", help="host:port")
    ] = DEFAULTS.processes,
    actor: Annotated[str, typer.Option(envvar="ORDERSTREAM_ACTOR", help="Who asks; kept beside each event.")] = "",
    deadline: Annotated[float, typer.Option(help="Seconds for one call, over all tries.")] = 10.0,
    _version: Annotated[
        bool, typer.Option("--version", callback=output.print_version, is_eager=True, help="The version, and no more.")
    ] = False,
    _wide: Annotated[bool, typer.Option(WIDE, help="All columns of tables; it may stand anywhere.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="After a change, wait until the views show it.")] = False,
    profile_: Annotated[
        str, typer.Option("--profile", envvar="ORDERSTREAM_PROFILE", help=f"Of ~/.config/{FILE}; options win over it.")
    ] = "",
    tls_ca: Annotated[Path | None, typer.Option(help="TLS: PEM, whom to trust.", envvar="ORDERSTREAM_CA")] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM, our certificate, if servers want one.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM, its key.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="A token or an API key; read again when it is refused. Or ORDERSTREAM_TOKEN.")
    ] = None,
) -> None:
    TARGET.addresses = Addresses(commands=commands, queries=queries, projections=projections, processes=processes_)
    TARGET.actor = actor
    TARGET.deadline = deadline
    TARGET.wait = wait
    given = profile(profile_) if profile_ else {}
    if given:
        chosen = {name: value for name, value in given.items() if name in PLACES and _is_default(context, name)}
        TARGET.addresses = replace(TARGET.addresses, **chosen)
        TARGET.actor = actor or given.get("actor", "")
    files = {"tls_ca": tls_ca, "tls_certificate": tls_certificate, "tls_key": tls_key, "token_file": token_file}
    paths = {name: path or (Path(given[name]) if name in given else None) for name, path in files.items()}
    TARGET.tls = tls_of(paths["tls_ca"], paths["tls_certificate"], paths["tls_key"])
    TARGET.token = token_of(paths["token_file"])


def _is_default(context: typer.Context, place: str) -> bool:
    source = context.get_parameter_source("processes_" if place == "processes" else place)
    return source is not None and source.name == "DEFAULT"


app.command()(local.up)
app.command()(demo)
app.command()(local.verify)
app.command()(shop.sales)
app.command()(local.health)
app.command()(status)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(
    local.embedded
)
shop.orders.command("watch")(watch)
app.add_typer(shop.orders, name="orders")
app.add_typer(payments, name="payments")
app.add_typer(returns, name="returns")
app.add_typer(shop.products, name="products")
app.add_typer(shop.stock, name="stock")
app.add_typer(shop.users, name="users")
app.add_typer(processes, name="processes")
app.add_typer(projections_, name="projections")
app.add_typer(subscriptions, name="subscriptions")
app.add_typer(events, name="events")
app.add_typer(store, name="store")
app.add_typer(keys, name="keys")


def main() -> None:
    app()
