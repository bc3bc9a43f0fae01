"""Commands of the command line that send one command of the shop: what all of them have, and what they print."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

import typer

from client.cli.connect import TARGET, Expected, RequestId, call, expecting
from client.cli.output import FAILED, AsJson, done, fail, out, print_json
from client.sdk import OrderstreamClient
from protos.common.v1.types_pb2 import FreshnessSource

ASK_AGAIN = 0.02  # seconds
# a query for every view that shows a context, and the field that identifies the change
SHOWN_BY: dict[str, tuple[tuple[str, str], ...]] = {
    "orders": (("GetOrder", "order_id"), ("ListOrders", ""), ("GetOrderTimeline", "order_id"), ("GetSalesDaily", "")),
    "products": (("ListProducts", ""), ("ListStock", "")),
    "users": (("GetUser", "user_id"),),
}


async def _shown(shop: OrderstreamClient, context: str, named: dict[str, str], token: str) -> None:
    """With --wait: return when the views of this context have the change."""
    until = time.monotonic() + TARGET.deadline
    for query, key in SHOWN_BY[context]:
        fields = {key: named[key]} if key else {"page_size": 1}
        while True:
            reply = await getattr(getattr(shop, context), query)(consistency_token=token, **fields)
            if reply.freshness.source != FreshnessSource.FRESHNESS_SOURCE_VIEW_AND_STREAM:
                break
            if time.monotonic() > until:
                fail(
                    f"the change is made, but the view of {query} does not show it after {TARGET.deadline:g} s", FAILED
                )
            await asyncio.sleep(ASK_AGAIN)  # it was answered before the view has the change


def send(context: str, rpc: str, as_json: bool, **fields: Any) -> None:  # a flag of the command line
    """Send a command and print its result."""

    async def work(shop: OrderstreamClient) -> Any:
        reply = await getattr(getattr(shop, context), rpc)(**fields)
        if TARGET.wait:
            named = {key: getattr(reply, key, "") or fields.get(key, "") for key in ("order_id", "user_id")}
            named["user_id"] = named["user_id"] or fields.get("keep_user_id", "")
            await _shown(shop, context, named, reply.consistency_token)
        return reply

    reply: Any = call(work)
    if as_json:
        print_json(reply)
        return
    named = getattr(reply, "order_id", "") or getattr(reply, "user_id", "")
    out.print(done(reply, named), highlight=False, soft_wrap=True)
    out.print(f"token: {reply.consistency_token}", highlight=False, soft_wrap=True)


Fields = dict[str, Any]
_REQUEST_ID = inspect.Parameter("request_id", inspect.Parameter.KEYWORD_ONLY, default="", annotation=RequestId)
_EXPECTED = inspect.Parameter("expected_revision", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Expected)
_AS_JSON = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsJson)


def sends(
    group: typer.Typer, context: str, name: str, rpc: str, *, expects: bool = True
) -> Callable[[Callable[..., Fields | None]], Callable[..., Fields | None]]:
    """Make a command of a function with the parameters of its own: it sends an RPC and prints the result.

    The function returns the fields of the request; None: they are its parameters. The options that all commands have
    are added; `--expected-revision` only if the command `expects` one.
    """
    common = (_REQUEST_ID, _EXPECTED, _AS_JSON) if expects else (_REQUEST_ID, _AS_JSON)

    def register(function: Callable[..., Fields | None]) -> Callable[..., Fields | None]:
        def command(*, request_id: str, as_json: bool, expected_revision: int | None = None, **own: Any) -> None:
            fields = function(**own)
            wanted = own if fields is None else fields
            send(context, rpc, as_json, **wanted, request_id=request_id, **expecting(expected_revision))

        parameters = [
            *(
                one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
                for one in inspect.signature(function).parameters.values()
            ),
            *common,
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        command.__doc__ = function.__doc__
        group.command(name)(command)
        return function

    return register
