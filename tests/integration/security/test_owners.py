"""A customer reaches its own orders and its own user; what is another's is not found, in every RPC that it may call."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from uuid_utils import uuid7

from core.security.access import access_of, methods_of
from core.security.contract import SERVICES
from server.commands import services
from tests.integration.security.conftest import as_caller
from tests.integration.security.test_who_may_call import write_keys
from tests.support.calling import DEADLINE, fresh_email, fresh_id, fresh_sku, refusal_of
from tests.support.processes import running

ADDRESS = {"name": "Ann", "line1": "1 High Street", "city": "Ghent", "postal_code": "9000", "country": "BE"}
OPEN_TO_CUSTOMERS = {m.name: m for m in methods_of(SERVICES) if access_of(m).customer}
ANN, BEN = str(uuid7()), str(uuid7())
# what each RPC needs beside the ids of an order and of a user
FIELDS: dict[str, dict[str, Any]] = {
    "AddLine": {"line": {"sku": "tea", "quantity": 1}},
    "ChangeLineQuantity": {"line_id": "tea", "quantity": 1},
    "RemoveLine": {"line_id": "tea"},
    "RefreshPrices": {},
    "ChangeShippingAddress": {"shipping_address": ADDRESS},
    "PlaceOrder": {},
    "CancelOrder": {"reason": "changed my mind"},
    "RequestReturn": {"return_id": "r", "lines": [{"line_id": "tea", "quantity": 1}], "reason": "broken"},
    "AddNote": {"note_id": "n", "text": "hello"},
    "ChangeName": {"name": "Anna"},
    "ChangeEmail": {"email": "anna@example.org"},
    "AddAddress": {"address_id": "home", "address": ADDRESS},
    "ChangeAddress": {"address_id": "home", "address": ADDRESS},
    "RemoveAddress": {"address_id": "home"},
    "SetDefaultAddress": {"address_id": "home"},
    "GetOrder": {},
    "WatchOrder": {},
    "GetUser": {},
    "GetCustomerOrders": {},
    "ListOrders": {},
    "WatchOrders": {},
    "CreateOrder": {"currency": "EUR"},
    "RegisterUser": {"name": "Ann", "email": "ann@example.org"},
}
OF_NOBODY = {"GetProduct", "ListProducts"}


class Closed:
    """Calls by name, as one caller."""

    def __init__(self, commands: grpc.aio.Channel, queries: grpc.aio.Channel) -> None:
        self._commands, self._queries = commands, queries

    async def call(self, caller: str, name: str, /, **fields: Any) -> Any:
        """The reply; of a stream, the first message. Raises what the call ends with."""
        method = next(m for m in methods_of(SERVICES) if m.name == name)
        channel = self._queries if "Query" in method.containing_service.name else self._commands
        request, reply = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            fields = {"request_id": fresh_id(), **fields}
        make: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
        call = make(
            f"/{method.containing_service.full_name}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=reply.FromString,
        )(ParseDict(fields, request()), metadata=as_caller(caller), timeout=DEADLINE)
        if not method.server_streaming:
            return await call
        async for message in call:
            with suppress(grpc.aio.UsageError):
                call.cancel()
            return message
        raise AssertionError("the stream has ended")

    async def refusal(self, caller: str, name: str, order_id: str, /, **fields: Any) -> str:
        """All that the answer shows, without the id."""
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.call(caller, name, order_id=order_id, **fields)
        return str(refusal_of(refused.value)).replace(order_id, "the order")

    async def reason(self, caller: str, name: str, /, **fields: Any) -> str:
        try:
            await self.call(caller, name, **fields)
        except grpc.aio.AioRpcError as error:
            return refusal_of(error).reason
        return "OK"


@pytest.fixture(scope="module")
def environment(eventstore_uri: str, mongo_uri: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    keys: Path = tmp_path_factory.mktemp("keys") / "keys.toml"
    write_keys(keys, till=["shop.write", "shop.read", "shop.catalogue"], **{ANN: ["customer"], BEN: ["customer"]})
    return {
        "ORDERSTREAM_EVENTSTORE_URI": eventstore_uri,
        "ORDERSTREAM_MONGO_URI": mongo_uri,
        "ORDERSTREAM_MONGO_DATABASE": f"owners_{uuid7().hex}",
        "ORDERSTREAM_API_KEYS_FILE": str(keys),
        "ORDERSTREAM_DRAIN_DELAY": "0",
    }


@pytest.fixture(scope="module")
def addresses(environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    with (
        running("projections", "--port", "0", environment=environment),
        running("server", "commands", "--port", "0", environment=environment) as commands,
        running("server", "queries", "--port", "0", environment=environment) as queries,
    ):
        yield commands.ready["address"], queries.ready["address"]


@pytest.fixture
async def shop(addresses: tuple[str, str]) -> AsyncIterator[Closed]:
    async with grpc.aio.insecure_channel(addresses[0]) as commands, grpc.aio.insecure_channel(addresses[1]) as queries:
        yield Closed(commands, queries)


@pytest.fixture
async def order(shop: Closed) -> str:
    """An order of Ann's, opened by herself."""
    for user in (ANN, BEN):
        assert await shop.reason(user, "RegisterUser", user_id=user, name="Ann", email=fresh_email()) in (
            "OK",
            "USER_EXISTS",
        )
    created = await shop.call(ANN, "CreateOrder", customer_id=ANN, currency="EUR")
    await shop.call(ANN, "ListOrders", consistency_token=created.consistency_token)
    for view in (("GetOrder", {"order_id": created.order_id}), ("GetUser", {"user_id": ANN})):
        await shop.call("till", view[0], consistency_token=created.consistency_token, **view[1])
    return str(created.order_id)


def test_every_rpc_that_customers_may_call_is_tested_here() -> None:
    assert set(FIELDS) | OF_NOBODY == set(OPEN_TO_CUSTOMERS)


def test_every_command_that_customers_may_call_knows_whose_it_is() -> None:
    for service, routes in services.SERVICES.items():
        for method in methods_of([service]):
            if access_of(method).customer:
                assert routes[method.name].decider.category in services.OWN


@pytest.mark.parametrize("name", FIELDS)
async def test_what_is_anns_is_not_found_by_ben(shop: Closed, order: str, name: str) -> None:
    named = OPEN_TO_CUSTOMERS[name].input_type.fields_by_name
    of_ann = {"order_id": order, "user_id": ANN, "customer_id": ANN}
    fields = {**FIELDS[name], **{field: value for field, value in of_ann.items() if field in named}}
    by_order = "order_id" in named and name != "CreateOrder"
    expected = "ORDER_NOT_FOUND" if by_order else "USER_NOT_FOUND"
    assert await shop.reason(BEN, name, **fields) == expected
    assert await shop.reason(ANN, name, **fields) not in (expected, "ACCESS_DENIED", "UNAUTHENTICATED", "INTERNAL")


VARIANTS: dict[str, list[dict[str, Any]]] = {
    "GetOrder": [
        {},
        {"as_of": {"revision": 7}},
        {"as_of": {"revision": 0}},
        {"as_of": {"time": "2020-01-01T00:00:00Z"}},
    ],
    "WatchOrder": [{}],
}
BY_ORDER = [
    name for name in FIELDS if "order_id" in OPEN_TO_CUSTOMERS[name].input_type.fields_by_name and name != "CreateOrder"
]


@pytest.mark.parametrize("name", BY_ORDER)
async def test_an_order_of_another_is_refused_in_the_words_of_one_that_is_not_there(
    shop: Closed, order: str, name: str
) -> None:
    for variant in VARIANTS.get(name, [{}, {"expected_revision": 7}, {"expected_revision": 0}]):
        fields = {**FIELDS[name], **variant}
        assert await shop.refusal(BEN, name, order, **fields) == await shop.refusal(BEN, name, fresh_id(), **fields)


async def test_a_customer_cannot_open_an_order_under_the_id_of_anothers(shop: Closed, order: str) -> None:
    taken = await shop.reason(BEN, "CreateOrder", order_id=order, customer_id=BEN, currency="EUR")
    assert taken == "ORDER_NOT_FOUND"


async def test_a_repeat_by_another_customer_reveals_nothing(shop: Closed, order: str) -> None:
    note = {"order_id": order, "request_id": fresh_id(), "note_id": "gift", "text": "it is a gift"}
    await shop.call(ANN, "AddNote", **note)
    assert (await shop.call(ANN, "AddNote", **note)).is_repeat
    assert await shop.reason(BEN, "AddNote", **note) == "ORDER_NOT_FOUND"


async def test_an_order_that_has_ended_still_is_its_customers_only(shop: Closed, order: str) -> None:
    await shop.call(ANN, "CancelOrder", order_id=order, reason="changed my mind")
    note = {"order_id": order, "note_id": "gift", "text": "it is a gift"}
    assert await shop.reason(BEN, "AddNote", **note) == "ORDER_NOT_FOUND"
    assert await shop.reason(ANN, "AddNote", **note) == "OK"


async def test_lists_have_what_is_the_customers_own(shop: Closed, order: str) -> None:
    other = await shop.call("till", "CreateOrder", customer_id=BEN, currency="EUR")
    fresh = {"consistency_token": other.consistency_token, "page_size": 1000}
    of_ann = await shop.call(ANN, "ListOrders", **fresh)
    of_all = await shop.call("till", "ListOrders", **fresh)
    assert {row.customer_id for row in of_ann.orders} == {ANN}
    assert order in {row.order_id for row in of_ann.orders}
    assert {ANN, BEN} <= {row.customer_id for row in of_all.orders}
    watched = await shop.call(BEN, "WatchOrders", consistency_token=other.consistency_token)
    assert {row.customer_id for row in watched.snapshot.orders} == {BEN}


async def test_a_page_token_of_one_customer_is_none_of_anothers(shop: Closed, order: str) -> None:
    second = await shop.call(ANN, "CreateOrder", customer_id=ANN, currency="EUR")
    page = {"page_size": 1, "consistency_token": second.consistency_token}
    token = (await shop.call(ANN, "ListOrders", **page)).next_page_token
    assert await shop.reason(ANN, "ListOrders", page_token=token, **page) == "OK"
    assert await shop.reason(BEN, "ListOrders", page_token=token, **page) == "PAGE_TOKEN_INVALID"
    assert await shop.reason("till", "ListOrders", page_token=token, **page) == "PAGE_TOKEN_INVALID"


async def test_what_is_for_the_shop_is_denied(shop: Closed, order: str) -> None:
    for name in ("ApplyDiscount", "RefundPayment", "SetShippingMethod", "ConfirmOrder", "CreateShipment", "BlockUser"):
        assert await shop.reason(ANN, name) == "ACCESS_DENIED"
    assert await shop.reason(ANN, "GetProduct", sku=fresh_sku()) == "PRODUCT_NOT_FOUND"
