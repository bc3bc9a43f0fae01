"""`--why`: the reason for an operator's act, which is kept with it. A dry run needs none."""

from typing import Annotated

import typer

from client.cli.output import fail

Why = Annotated[str, typer.Option("--why", help="Why, for the record.", show_default=False)]
# of commands that had another name for it in former releases
WhyOrReason = Annotated[str, typer.Option("--why", "--reason", help="Why, for the record.", show_default=False)]


def require_why(why: str, *, dry_run: bool = False) -> None:
    """Before anything is asked or sent: the server refuses such an act without a reason."""
    if not (dry_run or why.strip()):
        fail("say why with --why; it is kept with the act", 2)
