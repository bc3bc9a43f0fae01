"""The entry point: options that every command shares, and the tree of commands."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from client.cli import local, output, shop
from client.cli.connect import TARGET
from client.cli.demo import demo
from client.cli.events import events
from client.cli.keys import keys
from client.cli.payments import payments
from client.cli.processes import processes
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
) -> None:
    TARGET.addresses = Addresses(commands=commands, queries=queries, projections=projections, processes=processes_)
    TARGET.actor = actor
    TARGET.deadline = deadline
    TARGET.wait = wait


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
