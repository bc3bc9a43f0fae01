"""Whatever comes in, the answer is a documented code and reason, and no event is left behind."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from core.config import Settings
from core.eventstore import codec
from core.eventstore.client import RecordedEvent
from core.eventstore.store import EventStore
from protos.common.v1.types_pb2 import Address, Money
from protos.orders.v1 import commands_pb2 as pb
from protos.orders.v1.types_pb2 import LineQuantity, ReceivedQuantity
from protos.products.v1 import commands_pb2 as products_pb
from protos.users.v1 import commands_pb2 as users_pb
from server.app import serving
from server.commands.former_claims import DONE
from tests.support.calling import DEADLINE, HOME, Shop, done_before, euros, fresh_email, fresh_id, refusal, shop_at

Code = grpc.StatusCode


@dataclass(frozen=True)
class Known:
    """What is there before the bad request comes in."""

    user_id: str
    sku: str
    order_id: str


@dataclass(frozen=True)
class Case:
    name: str
    call: Callable[[Shop, Known], Any]
    code: grpc.StatusCode
    reason: str
    fields: tuple[str, ...] = field(default=())


def create(shop: Shop, known: Known, **changes: Any) -> Any:
    fields = {"request_id": fresh_id(), "customer_id": known.user_id, "currency": "EUR"} | changes
    return shop.orders.CreateOrder(pb.CreateOrderRequest(**fields), timeout=DEADLINE)


def add(shop: Shop, known: Known, request_id: str | None = None, order_id: str | None = None, **line: Any) -> Any:
    fields: dict[str, Any] = {"line_id": "l1", "sku": known.sku, "quantity": 1} | line
    request = pb.AddLineRequest(
        request_id=fresh_id() if request_id is None else request_id,
        order_id=known.order_id if order_id is None else order_id,
        line=pb.NewLine(**fields),
    )
    return shop.orders.AddLine(request, timeout=DEADLINE)


def price(shop: Shop, known: Known, money: Money | None) -> Any:
    request = products_pb.ChangePriceRequest(request_id=fresh_id(), sku=known.sku, price=money)
    return shop.products.ChangePrice(request, timeout=DEADLINE)


def register(shop: Shop, **changes: Any) -> Any:
    fields = {"request_id": fresh_id(), "name": "Ann", "email": fresh_email()} | changes
    return shop.users.RegisterUser(users_pb.RegisterUserRequest(**fields), timeout=DEADLINE)


def lines(known: Known, count: int) -> list[pb.NewLine]:
    return [pb.NewLine(line_id=f"l{n}", sku=known.sku, quantity=1) for n in range(count)]


def step(shop: Shop, known: Known, rpc: str, **fields: Any) -> Any:
    """A command about the draft that is there."""
    request = getattr(pb, f"{rpc}Request")(**{"request_id": fresh_id(), "order_id": known.order_id} | fields)
    return getattr(shop.orders, rpc)(request, timeout=DEADLINE)


def headed(name: str, value: str) -> Callable[[Shop, Known], Any]:
    """A call with a header."""

    def place(shop: Shop, known: Known) -> Any:
        request = pb.PlaceOrderRequest(request_id=fresh_id(), order_id=known.order_id)
        return shop.orders.PlaceOrder(request, timeout=DEADLINE, metadata=((name, value),))

    return place


INVALID = Code.INVALID_ARGUMENT
CASES = [
    Case("no request id", lambda s, k: add(s, k, request_id=""), INVALID, "REQUEST_ID_INVALID", ("request_id",)),
    Case("request id no UUID", lambda s, k: add(s, k, request_id="42"), INVALID, "REQUEST_ID_INVALID", ("request_id",)),
    Case("order id malformed", lambda s, k: add(s, k, order_id="o-1"), INVALID, "FIELD_INVALID", ("order_id",)),
    Case("order id empty", lambda s, k: add(s, k, order_id=""), INVALID, "FIELD_INVALID", ("order_id",)),
    Case("order id upper case", lambda s, k: add(s, k, order_id=k.order_id.upper()), INVALID, "FIELD_INVALID"),
    Case("order unknown", lambda s, k: add(s, k, order_id=fresh_id()), Code.NOT_FOUND, "ORDER_NOT_FOUND"),
    Case(
        "customer malformed", lambda s, k: create(s, k, customer_id="ann"), INVALID, "FIELD_INVALID", ("customer_id",)
    ),
    Case("customer unknown", lambda s, k: create(s, k, customer_id=fresh_id()), Code.NOT_FOUND, "USER_NOT_FOUND"),
    Case("currency unknown", lambda s, k: create(s, k, currency="ZZZ"), INVALID, "CURRENCY_UNKNOWN", ("currency",)),
    Case("currency ended", lambda s, k: create(s, k, currency="BGN"), INVALID, "CURRENCY_ENDED", ("currency",)),
    Case("currency empty", lambda s, k: create(s, k, currency=""), INVALID, "CURRENCY_UNKNOWN", ("currency",)),
    Case("quantity 0", lambda s, k: add(s, k, quantity=0), INVALID, "QUANTITY_INVALID", ("line.quantity",)),
    Case("quantity 10,000", lambda s, k: add(s, k, quantity=10_000), INVALID, "QUANTITY_INVALID", ("line.quantity",)),
    Case("quantity negative", lambda s, k: add(s, k, quantity=-1), INVALID, "QUANTITY_INVALID", ("line.quantity",)),
    Case("sku empty", lambda s, k: add(s, k, sku=""), INVALID, "FIELD_INVALID", ("line.sku",)),
    Case("sku odd", lambda s, k: add(s, k, sku="a b"), INVALID, "FIELD_INVALID", ("line.sku",)),
    Case("sku unknown", lambda s, k: add(s, k, sku="nowhere"), Code.FAILED_PRECONDITION, "PRODUCT_NOT_SELLABLE"),
    Case("line id long", lambda s, k: add(s, k, line_id="x" * 65), INVALID, "FIELD_INVALID", ("line.line_id",)),
    Case(
        "line not given",
        lambda s, k: s.orders.AddLine(pb.AddLineRequest(request_id=fresh_id(), order_id=k.order_id), timeout=DEADLINE),
        INVALID,
        "FIELD_INVALID",
        ("line",),
    ),
    Case("201 lines", lambda s, k: create(s, k, lines=lines(k, 201)), Code.RESOURCE_EXHAUSTED, "TOO_MANY_LINES"),
    Case(
        "second line bad",
        lambda s, k: create(s, k, lines=[*lines(k, 1), pb.NewLine(sku="?", quantity=1)]),
        INVALID,
        "FIELD_INVALID",
        ("lines[1].sku",),
    ),
    Case(
        "address half",
        lambda s, k: create(s, k, shipping_address=Address(name="Ann")),
        INVALID,
        "ADDRESS_INVALID",
        ("shipping_address.line1",),
    ),
    Case("amount negative", lambda s, k: price(s, k, euros(-1)), INVALID, "AMOUNT_INVALID"),
    Case("amount huge", lambda s, k: price(s, k, euros(2**53)), INVALID, "AMOUNT_INVALID"),
    Case("amount of int64", lambda s, k: price(s, k, euros(2**63 - 1)), INVALID, "AMOUNT_INVALID"),
    Case("price not given", lambda s, k: price(s, k, None), INVALID, "FIELD_INVALID", ("price",)),
    Case(
        "amount of a payment not given",
        lambda s, k: step(s, k, "RecordAuthorisation", authorisation_id="a1"),
        INVALID,
        "FIELD_INVALID",
        ("amount",),
    ),
    Case(
        "amount of a discount negative",
        lambda s, k: step(s, k, "ApplyDiscount", discount_id="d1", name="sale", amount=euros(-1)),
        INVALID,
        "AMOUNT_INVALID",
        ("amount.amount_minor",),
    ),
    Case(
        "discount of nothing",
        lambda s, k: step(s, k, "ApplyDiscount", discount_id="d1", name="sale"),
        INVALID,
        "DISCOUNT_INVALID",
        ("amount",),
    ),
    Case(
        "price of shipping negative",
        lambda s, k: step(s, k, "SetShippingMethod", method="express", price=euros(-1)),
        INVALID,
        "AMOUNT_INVALID",
        ("price.amount_minor",),
    ),
    Case(
        "payment of a draft",
        lambda s, k: step(s, k, "RecordAuthorisation", authorisation_id="a1", amount=euros(1)),
        Code.FAILED_PRECONDITION,
        "ORDER_STATE",
    ),
    Case(
        "note empty",
        lambda s, k: step(s, k, "AddNote", note_id="n1", text=" \n"),
        INVALID,
        "FIELD_INVALID",
        ("text",),
    ),
    Case(
        "note with a NUL",
        lambda s, k: step(s, k, "AddNote", note_id="n1", text="a\0"),
        INVALID,
        "FIELD_INVALID",
        ("text",),
    ),
    Case(
        "note of 2,001 characters",
        lambda s, k: step(s, k, "AddNote", note_id="n1", text="x" * 2_001),
        INVALID,
        "NOTE_TOO_LONG",
        ("text",),
    ),
    Case(
        "goods back in no condition",
        lambda s, k: step(s, k, "ReceiveReturn", return_id="r1", lines=[ReceivedQuantity(line_id="l", quantity=1)]),
        INVALID,
        "FIELD_INVALID",
        ("lines[0].condition",),
    ),
    Case(
        "goods back in a condition that is none",
        lambda s, k: step(
            s,
            k,
            "ReceiveReturn",
            return_id="r1",
            lines=[ReceivedQuantity(line_id="l", quantity=1, condition=99)],  # type: ignore[arg-type]  # an open enum takes it
        ),
        INVALID,
        "FIELD_INVALID",
        ("lines[0].condition",),
    ),
    Case("name empty", lambda s, _: register(s, name=""), INVALID, "FIELD_INVALID", ("name",)),
    Case("name blank", lambda s, _: register(s, name="  "), INVALID, "FIELD_INVALID", ("name",)),
    Case("name with a NUL", lambda s, _: register(s, name="A\0"), INVALID, "FIELD_INVALID", ("name",)),
    Case("name of 100 kB", lambda s, _: register(s, name="x" * 100_000), INVALID, "FIELD_INVALID", ("name",)),
    Case("name of 1 MB", lambda s, _: register(s, name="x" * 1_000_000), Code.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE"),
    Case("email without @", lambda s, _: register(s, email="ann"), INVALID, "FIELD_INVALID", ("email",)),
    Case("two things wrong", lambda s, _: register(s, name="", email=""), INVALID, "FIELD_INVALID", ("email", "name")),
    Case(
        "revision stale",
        lambda s, k: s.orders.RemoveLine(
            pb.RemoveLineRequest(request_id=fresh_id(), order_id=k.order_id, line_id="x", expected_revision=7),
            timeout=DEADLINE,
        ),
        Code.ABORTED,
        "REVISION_CONFLICT",
    ),
    Case(
        "second line of no unit",
        lambda s, k: create(s, k, lines=[*lines(k, 1), pb.NewLine(line_id="l2", sku=k.sku)]),
        INVALID,
        "QUANTITY_INVALID",
        ("lines[1].quantity",),
    ),
    Case(
        "201 lines, all of them bad",
        lambda s, k: create(s, k, lines=[pb.NewLine(sku="?")] * 201),
        Code.RESOURCE_EXHAUSTED,
        "TOO_MANY_LINES",
    ),
    Case(
        "a parcel of 201 lines, all of them bad",
        lambda s, k: step(s, k, "CreateShipment", shipment_id="s1", lines=[LineQuantity()] * 201),
        INVALID,
        "FIELD_INVALID",
        ("lines",),
    ),
    Case(
        "200 lines, all of them bad",
        lambda s, k: create(s, k, lines=[pb.NewLine(sku="?")] * 200),
        INVALID,
        "FIELD_INVALID",
        tuple(f"lines[{n}].sku" for n in range(10)),
    ),
    Case(
        "currency of a price",
        lambda s, k: price(s, k, Money(currency="X")),
        INVALID,
        "CURRENCY_UNKNOWN",
        ("price.currency",),
    ),
    Case(
        "currency of 100 kB",
        lambda s, k: create(s, k, currency="X" * 100_000),
        INVALID,
        "CURRENCY_UNKNOWN",
        ("currency",),
    ),
    Case("name turned round", lambda s, _: register(s, name="A\u202e"), INVALID, "FIELD_INVALID", ("name",)),
    Case(
        "email with a hidden mark",
        lambda s, _: register(s, email="a\u200bb@example.org"),
        INVALID,
        "FIELD_INVALID",
        ("email",),
    ),
    Case(
        "city too long",
        lambda s, k: create(s, k, shipping_address=Address(name="A", line1="1", city="x" * 101, country="BE")),
        INVALID,
        "ADDRESS_INVALID",
        ("shipping_address.city",),
    ),
    *(
        Case(f"header {name}: {problem}", headed(name, value), INVALID, "FIELD_INVALID", (name,))
        for name, problem, value in (
            ("x-correlation-id", "129 characters", "x" * 129),
            ("x-correlation-id", "none", ""),
            ("x-orderstream-actor", "201 characters", "x" * 201),
        )
    ),
]


def is_of_a_start(event: RecordedEvent) -> bool:
    """Whether a service wrote it for itself when it started. No caller may use that actor."""
    metadata = codec.decode_metadata(event.metadata)
    return event.stream_name == DONE or (metadata is not None and metadata.actor == "orderstream")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_bad_input_is_reported_and_leaves_no_event(
    case: Case, shop: Shop, log: EventStore, capfd: pytest.CaptureFixture[str]
) -> None:
    known = Known(await shop.user(), await shop.product(), await shop.draft())
    before = await log.head()

    refused = await refusal(case.call(shop, known))

    assert (refused.code, refused.reason) == (case.code, case.reason)
    if case.fields:
        assert tuple(sorted(refused.fields)) == case.fields
    # a service that has just started may still claim addresses of users beside the call
    written = [event async for event in log.log.after(before, "")]
    assert [event.stream_name for event in written if not is_of_a_start(event)] == []
    assert "Traceback" not in capfd.readouterr().err


async def test_a_store_that_is_down_is_unavailable_and_worth_a_retry(capfd: pytest.CaptureFixture[str]) -> None:
    settings = Settings(eventstore_uri="esdb://127.0.0.1:1?Tls=false", grace=1.0)
    async with serving("commands", settings, port=0) as address, shop_at(address) as shop:
        refused = await refusal(shop.user())
    assert (refused.code, refused.reason, refused.retry) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE", True)
    assert "Traceback" not in capfd.readouterr().err


async def test_an_address_of_full_length_is_taken(shop: Shop) -> None:
    order_id = await shop.draft()
    longest = Address(
        name="n" * 200, line1="l" * 200, line2="m" * 200, city="c" * 100, postal_code="p" * 20, country="BE"
    )
    for address in (longest, HOME):
        request = pb.ChangeShippingAddressRequest(request_id=fresh_id(), order_id=order_id, shipping_address=address)
        assert (await shop.orders.ChangeShippingAddress(request, timeout=DEADLINE)).consistency_token


OF_A_PROCESS = "0198c0de-0000-8000-8000-000000000001"  # a UUID of version 8


async def test_ids_of_processes_cannot_be_taken_from_outside(shop: Shop) -> None:
    order_id = await shop.placed()
    request = pb.AddNoteRequest(request_id=OF_A_PROCESS, order_id=order_id, note_id="n1", text="hello")
    refused = await refusal(shop.orders.AddNote(request, timeout=DEADLINE))
    assert refused.fields == ("request_id",)
    taken = pb.RecordPaymentFailureRequest(
        request_id=fresh_id(), order_id=order_id, authorisation_id="checkout", reason="no"
    )
    refused = await refusal(shop.orders.RecordPaymentFailure(taken, timeout=DEADLINE))
    assert refused.fields == ("authorisation_id",)


@pytest.mark.parametrize("actor", ["process:checkout", "orderstream"])
async def test_nobody_passes_for_a_process(actor: str, shop: Shop) -> None:
    request = pb.AddNoteRequest(request_id=fresh_id(), order_id=await shop.placed(), note_id="n1", text="hello")
    call = shop.orders.AddNote(request, timeout=DEADLINE, metadata=(("x-orderstream-actor", actor),))
    refused = await refusal(call)
    assert refused.fields == ("x-orderstream-actor",)


async def test_texts_are_stored_in_one_form(shop: Shop, log: EventStore) -> None:
    request = users_pb.RegisterUserRequest(request_id=fresh_id(), name="  Zoe\u0308 ", email=f"\u00e9{fresh_email()}")
    registered = await shop.users.RegisterUser(request, timeout=DEADLINE)
    [event] = [event async for event in log.read(f"user-{registered.user_id}")]
    assert json.loads(event.data)["name"] == "Zo\u00eb"
    assert await shop.users.RegisterUser(request, timeout=DEADLINE) == done_before(registered)


async def test_an_address_is_as_long_as_what_is_stored_of_it(shop: Shop) -> None:
    order_id = await shop.draft()
    address = Address(name="n" * 200 + " " * 900, line1="e\u0301" * 200, city="x", country="BE")
    request = pb.ChangeShippingAddressRequest(request_id=fresh_id(), order_id=order_id, shipping_address=address)
    assert (await shop.orders.ChangeShippingAddress(request, timeout=DEADLINE)).consistency_token
