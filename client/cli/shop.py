"""`orderstream orders|products|stock|users …` and `sales`."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import typer
from google.protobuf.message import Message

from client.cli.connect import RequestId, Token, call, expecting
from client.cli.order_view import show_order, show_unread
from client.cli.output import (
    AsJson,
    agree,
    enum_name,
    err,
    fail,
    money,
    out,
    print_json,
    to_basis_points,
    to_money,
    when,
)
from client.cli.sending import Fields, send, sends
from client.cli.tables import table
from client.cli.why import WhyOrReason, require_why
from protos.common.v1.types_pb2 import Address, FreshnessSource
from protos.orders.v1.commands_pb2 import NewLine
from protos.orders.v1.queries_pb2 import Moment
from protos.orders.v1.types_pb2 import (
    FulfilmentStatus,
    LineQuantity,
    OrderStatus,
    OrderSummary,
    PaymentStatus,
    ReceivedQuantity,
    ReturnCondition,
)
from protos.products.v1.types_pb2 import ProductStatus

orders = typer.Typer(no_args_is_help=True, help="Open, place, ship and look at orders.")
products = typer.Typer(no_args_is_help=True, help="The catalogue.")
stock = typer.Typer(no_args_is_help=True, help="How much there is of each product.")
users = typer.Typer(no_args_is_help=True, help="Who orders.")

OrderId = Annotated[str, typer.Argument(help="The order's UUID.")]
Sku = Annotated[str, typer.Argument(help="The product's id.")]
UserId = Annotated[str, typer.Argument(help="The user's UUID.")]
Shipment = Annotated[str, typer.Option(help="A name for the parcel, unique in the order.")]
Reason = Annotated[str, typer.Option(help="Free text.")]
Country = Annotated[str, typer.Option(help="Two letters, ISO 3166-1.")]
PageSize = Annotated[int, typer.Option(help="Rows wanted, up to 1000.")]
PageToken = Annotated[str, typer.Option(help="The last page's next_page_token.")]


def ask(context: str, rpc: str, **fields: Any) -> Any:
    return call(lambda shop: getattr(getattr(shop, context), rpc)(**fields))


def quantities(given: list[str]) -> list[tuple[str, int]]:
    """`tea:2` as ("tea", 2); without a colon one unit."""
    parsed = []
    for text in given:
        name, _, quantity = text.rpartition(":") if ":" in text else (text, "", "1")
        if not quantity.lstrip("-").isdigit():
            fail(f"{text!r}: give it like sku:quantity", 2)
        parsed.append((name, int(quantity)))
    return parsed


def received(good: list[str], damaged: list[str]) -> list[ReceivedQuantity]:
    """The received units, by condition."""
    if not good and not damaged:
        fail("give at least one --line or --damaged", 2)
    resaleable, spoilt = ReturnCondition.RETURN_CONDITION_RESALEABLE, ReturnCondition.RETURN_CONDITION_DAMAGED
    return [
        ReceivedQuantity(line_id=name, quantity=n, condition=condition)
        for given, condition in ((good, resaleable), (damaged, spoilt))
        for name, n in quantities(given)
    ]


# ------------------------------------------------------------------ orders


@sends(orders, "orders", "create", "CreateOrder", expects=False)
def create_order(
    customer: Annotated[str, typer.Option(help="The user's UUID.")],
    currency: Annotated[str, typer.Option(help="ISO 4217, of the order.")] = "EUR",
    line: Annotated[list[str] | None, typer.Option(help="sku:quantity; may be given again.")] = None,
    order_id: Annotated[str, typer.Option(help="A UUID; without it the request's id.")] = "",
    name: Annotated[str, typer.Option(help="Who receives it.")] = "",
    street: str = "",
    city: str = "",
    postal_code: str = "",
    country: Country = "",
) -> Fields:
    """Create a draft. With --name, --street, --city and --country it has an address at once."""
    address = {"shipping_address": _address(name, street, city, postal_code, country)} if name or street else {}
    lines = [NewLine(sku=sku, quantity=n) for sku, n in quantities(line or [])]
    return {"order_id": order_id, "customer_id": customer, "currency": currency, "lines": lines, **address}


@sends(orders, "orders", "add-line", "AddLine")
def add_line(
    order_id: OrderId,
    sku: Sku,
    quantity: int = 1,
    line_id: Annotated[str, typer.Option(help="A name for the line; without it the sku.")] = "",
) -> Fields:
    """Add a product at its current price."""
    line = NewLine(line_id=line_id, sku=sku, quantity=quantity)
    return {"order_id": order_id, "line": line}


@sends(orders, "orders", "change-quantity", "ChangeLineQuantity")
def change_quantity(order_id: OrderId, line_id: str, quantity: int) -> None:
    """Set the quantity of a line."""


@sends(orders, "orders", "remove-line", "RemoveLine")
def remove_line(order_id: OrderId, line_id: str) -> None:
    """Remove a line."""


@sends(orders, "orders", "refresh-prices", "RefreshPrices")
def refresh_prices(order_id: OrderId) -> None:
    """Give every line of a draft the current price of its product."""


@sends(orders, "orders", "set-address", "ChangeShippingAddress")
def set_address(
    order_id: OrderId,
    name: Annotated[str, typer.Option(help="Who receives it.")],
    street: Annotated[str, typer.Option(help="Street and number.")],
    city: Annotated[str, typer.Option()],
    country: Country,
    postal_code: str = "",
) -> Fields:
    """Set the address for the goods, until the first dispatch."""
    address = _address(name, street, city, postal_code, country)
    return {"order_id": order_id, "shipping_address": address}


@sends(orders, "orders", "set-shipping", "SetShippingMethod")
def set_shipping(
    order_id: OrderId,
    method: Annotated[str, typer.Argument(help='What the shop calls it, like "express".')],
    price: Annotated[str, typer.Argument(help="What sending costs, like 4.95.")],
    currency: Annotated[str, typer.Option(help="ISO 4217, that of the order.")] = "EUR",
) -> Fields:
    """Set the shipping method and cost of a draft."""
    return {"order_id": order_id, "method": method, "price": to_money(price, currency)}


@sends(orders, "orders", "discount", "ApplyDiscount")
def discount(
    order_id: OrderId,
    discount_id: Annotated[str, typer.Argument(help="A name for the discount, unique in the order.")],
    value: Annotated[str, typer.Argument(help="An amount like 5.00, or a share like 12.5%.")],
    name: Annotated[str, typer.Option(help="The text for the customer.")] = "discount",
    currency: Annotated[str, typer.Option(help="ISO 4217, that of the order.")] = "EUR",
) -> Fields:
    """Add a discount to the goods of a draft."""
    off: dict[str, Any] = (
        {"basis_points": to_basis_points(value)} if value.endswith("%") else {"amount": to_money(value, currency)}
    )
    return {"order_id": order_id, "discount_id": discount_id, "name": name, **off}


@sends(orders, "orders", "remove-discount", "RemoveDiscount")
def remove_discount(
    order_id: OrderId, discount_id: Annotated[str, typer.Argument(help="The discount's name.")]
) -> None:
    """Remove a discount."""


@sends(orders, "orders", "place", "PlaceOrder")
def place(order_id: OrderId) -> None:
    """Place an order: fixes lines and prices; refused if a price has changed: refresh-prices first."""


@sends(orders, "orders", "confirm", "ConfirmOrder")
def confirm(order_id: OrderId) -> None:
    """Confirm a placed order."""


@sends(orders, "orders", "hold", "HoldOrder")
def hold(order_id: OrderId, reason: Reason) -> None:
    """Put an order on hold, until `release`."""


@sends(orders, "orders", "release", "ReleaseHold")
def release(order_id: OrderId) -> None:
    """Release an order from hold."""


@sends(orders, "orders", "cancel", "CancelOrder")
def cancel(order_id: OrderId, reason: Reason) -> None:
    """Cancel an order before anything is packed."""


@sends(orders, "orders", "reject", "RejectOrder")
def reject(order_id: OrderId, reason: Reason) -> None:
    """Reject a placed order."""


@sends(orders, "orders", "expire", "ExpireOrder")
def expire(order_id: OrderId) -> None:
    """Expire a placed order whose deadline has passed."""


@sends(orders, "orders", "complete", "CompleteOrder")
def complete(order_id: OrderId) -> None:
    """Complete an order that has arrived and is paid."""


@sends(orders, "orders", "cancel-line", "CancelLineQuantity")
def cancel_line(
    order_id: OrderId,
    line_id: str,
    quantity: int,
    reason: Reason,
    cancellation: Annotated[
        str, typer.Option(help="A name for this step, unique in the order; without it, a new one.")
    ] = "",
) -> Fields:
    """Cancel units of a placed order that are in no parcel."""
    return {
        "order_id": order_id,
        "cancellation_id": cancellation or str(uuid4()),
        "line_id": line_id,
        "quantity": quantity,
        "reason": reason,
    }


@sends(orders, "orders", "note", "AddNote")
def note(
    order_id: OrderId,
    text: str,
    note_id: Annotated[str, typer.Option(help="A name for the note, unique in the order; without it, a new one.")] = "",
) -> Fields:
    """Add a note to an order."""
    return {"order_id": order_id, "note_id": note_id or str(uuid4()), "text": text}


@sends(orders, "orders", "ship", "CreateShipment", expects=False)
def ship(
    order_id: OrderId,
    shipment: Shipment = "parcel-1",
    line: Annotated[list[str] | None, typer.Option(help="line_id:quantity; without any: all that is open.")] = None,
) -> Fields:
    """Pack a parcel."""
    lines = [LineQuantity(line_id=name, quantity=n) for name, n in quantities(line or [])]
    return {"order_id": order_id, "shipment_id": shipment, "lines": lines}


@sends(orders, "orders", "dispatch", "DispatchShipment", expects=False)
def dispatch(
    order_id: OrderId,
    carrier: Annotated[str, typer.Option(help="Who carries it.")],
    tracking: Annotated[str, typer.Option(help="The carrier's number.")] = "",
    shipment: Shipment = "parcel-1",
) -> Fields:
    """Hand a parcel to the carrier."""
    return {"order_id": order_id, "shipment_id": shipment, "carrier": carrier, "tracking_number": tracking}


@sends(orders, "orders", "deliver", "ConfirmDelivery", expects=False)
def deliver(order_id: OrderId, shipment: Shipment = "parcel-1") -> Fields:
    """Record that a parcel has arrived."""
    return {"order_id": order_id, "shipment_id": shipment}


@sends(orders, "orders", "unpack", "CancelShipment")
def unpack(order_id: OrderId, shipment: Shipment = "parcel-1") -> Fields:
    """Cancel a parcel that has not left the house."""
    return {"order_id": order_id, "shipment_id": shipment}


@sends(orders, "orders", "lost", "RecordShipmentLoss")
def lost(order_id: OrderId, reason: Reason, shipment: Shipment = "parcel-1") -> Fields:
    """Record that a parcel is lost: its units can be sent again or cancelled."""
    return {"order_id": order_id, "shipment_id": shipment, "reason": reason}


@sends(orders, "orders", "refused", "RecordDeliveryRefusal")
def refused(order_id: OrderId, reason: Reason, shipment: Shipment = "parcel-1") -> Fields:
    """Record that a parcel was refused or could not be delivered: it is on its way back."""
    return {"order_id": order_id, "shipment_id": shipment, "reason": reason}


@sends(orders, "orders", "came-back", "ReceiveReturnedShipment")
def came_back(
    order_id: OrderId,
    line: Annotated[list[str], typer.Option(help="line_id:quantity, as good as new.")] = [],  # noqa: B006  # typer copies it
    damaged: Annotated[list[str], typer.Option(help="line_id:quantity, cannot be sold again.")] = [],  # noqa: B006
    shipment: Shipment = "parcel-1",
) -> Fields:
    """Record that a parcel is back, and what is in it: its units can be sent again or cancelled."""
    return {"order_id": order_id, "shipment_id": shipment, "lines": received(line, damaged)}


@orders.command("get")
def get_order(
    order_id: OrderId,
    at_revision: Annotated[int | None, typer.Option(min=0, help="As it was after this event of its stream.")] = None,
    at_time: Annotated[datetime | None, typer.Option(help="UTC; as the log had it by then.")] = None,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Show one order, as it is or as it was."""
    fields: dict[str, Any] = {"order_id": order_id, "consistency_token": token}
    if at_revision is not None or at_time is not None:
        fields["as_of"] = _moment(at_revision, at_time)
    reply = ask("orders", "GetOrder", **fields)
    if as_json:
        print_json(reply)
        return
    show_order(reply.order)
    show_unread(reply.unread)
    _print_freshness(reply)


@orders.command("list")
def list_orders(
    customer: Annotated[str, typer.Option(help="Only this user's.")] = "",
    status: Annotated[str, typer.Option(help="draft, placed, confirmed, cancelled, …")] = "",
    page_size: PageSize = 50,
    page_token: PageToken = "",
    order_by: Annotated[str, typer.Option(help='"created_at desc" or "created_at asc"')] = "",
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Show orders, newest first."""
    number = status_number(OrderStatus, "ORDER_STATUS_", status)
    fields = {"customer_id": customer, "status": number, "page_size": page_size, "page_token": page_token}
    reply = ask("orders", "ListOrders", **fields, order_by=order_by, consistency_token=token)
    if as_json:
        print_json(reply)
        return
    rows = table(
        "order",
        "status",
        "fulfilment",
        "payment",
        "lines",
        "total",
        "created",
        leave=("lines", "created", "fulfilment", "payment"),
    )
    for x in reply.orders:
        rows.add_row(
            x.order_id,
            enum_name(OrderStatus, x.status, "ORDER_STATUS_"),
            enum_name(FulfilmentStatus, x.fulfilment, "FULFILMENT_STATUS_"),
            enum_name(PaymentStatus, x.payment, "PAYMENT_STATUS_"),
            str(x.line_count),
            money(x.total),
            when(x.created_at),
        )
    rows.show()
    _print_unread(reply.orders)
    _print_more(reply)


def _print_unread(found: Iterable[OrderSummary]) -> None:
    for order in found:
        if order.unread:
            err.print(f"{order.order_id} is shown as it was before {order.unread}", markup=False)


@orders.command("customer")
def customer_orders(user_id: UserId, token: Token = "", as_json: AsJson = False) -> None:
    """Show the totals of a customer's orders."""
    reply = ask("orders", "GetCustomerOrders", customer_id=user_id, consistency_token=token)
    if as_json:
        print_json(reply)
        return
    out.print(
        f"{reply.orders_created} opened, {reply.orders_placed} placed, {reply.orders_cancelled} cancelled, "
        f"{reply.orders_rejected} rejected, {reply.orders_expired} expired"
    )
    for total in reply.totals:
        out.print(money(total))
    for amount in reply.returned:
        out.print(f"came back: {money(amount)}")
    _print_unread(reply.recent)
    _print_not_shown(reply)
    _print_freshness(reply)


@orders.command("history")
def history(
    order_id: OrderId,
    tree: Annotated[bool, typer.Option("--tree", help="What caused what: also process and stock.")] = False,
    page_size: PageSize = 50,
    page_token: PageToken = "",
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Show every event of an order, with who, when and why, from the log."""
    fields = {"order_id": order_id, "page_size": page_size, "page_token": page_token, "consistency_token": token}
    reply = ask("orders", "GetOrderHistory", **fields, as_tree=tree)
    if as_json:
        print_json(reply)
        return
    if tree:
        _print_tree(reply)
    else:
        _print_entries(reply.entries)
    _print_more(reply)


def _print_tree(reply: Any) -> None:
    for node in reply.nodes:
        if node.HasField("command"):
            text = f"{node.command.actor or 'unknown'} {when(node.command.occurred_at)} {node.command.request_id}"
        else:
            entry = node.event.entry
            text = f"{entry.event_type} {entry.revision}@{node.event.stream}"
        out.print("  " * node.depth + text, highlight=False, soft_wrap=True)
    if reply.truncated:
        out.print("… and more than one answer holds")


@orders.command("timeline")
def timeline(
    order_id: OrderId, page_size: PageSize = 50, page_token: PageToken = "", token: Token = "", as_json: AsJson = False
) -> None:
    """Show the history of an order, step by step."""
    fields = {"order_id": order_id, "page_size": page_size, "page_token": page_token, "consistency_token": token}
    reply = ask("orders", "GetOrderTimeline", **fields)
    if as_json:
        print_json(reply)
        return
    rows = table(
        "when", "step", "of", "units", "amount", "text", leave=("units", "amount", "text", "when"), texts=("text",)
    )
    for x in reply.entries:
        amount = money(x.amount) if x.HasField("amount") else ""
        rows.add_row(when(x.at), x.step, x.subject_id, str(x.units or ""), amount, x.text)
    rows.show()
    _print_more(reply)


def _print_entries(entries: Any) -> None:
    for x in entries:  # lines, not a table: the content of an event has no fixed width
        text = f"{x.revision} {x.event_type} {when(x.occurred_at)} {x.actor} {x.request_id}"
        out.print(text, style="bold", highlight=False, soft_wrap=True)
        out.print(f"  {x.data_json}", highlight=False, soft_wrap=True, markup=False)


@orders.command("diff")
def diff(
    order_id: OrderId,
    since: Annotated[int | None, typer.Option(min=0, help="The earlier revision; without it, before all.")] = None,
    until: Annotated[int | None, typer.Option(min=0, help="The later revision; without it, now.")] = None,
    since_time: Annotated[datetime | None, typer.Option(help="UTC, instead of --since.")] = None,
    until_time: Annotated[datetime | None, typer.Option(help="UTC, instead of --until.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the differences of an order between two moments, and who made them."""
    fields: dict[str, Any] = {"order_id": order_id}
    if since is not None or since_time is not None:
        fields["since"] = _moment(since, since_time)
    if until is not None or until_time is not None:
        fields["until"] = _moment(until, until_time)
    reply = ask("orders", "DiffOrder", **fields)
    while reply.next_page_token:
        page = ask("orders", "DiffOrder", **fields, page_token=reply.next_page_token)
        reply.ClearField("next_page_token")
        reply.MergeFrom(page)
    if as_json:
        print_json(reply)
        return
    changes = table("field", "before", "after", leave=("before",), texts=("before", "after"))
    for x in reply.changes:
        changes.add_row(x.path, x.before_json, x.after_json)
    changes.show()
    show_unread(reply.unread)
    _print_entries(reply.entries)


def _moment(revision: int | None, at: datetime | None) -> Moment:
    if revision is not None and at is not None:
        raise typer.BadParameter("give a revision or a time, not both")
    if revision is not None:
        return Moment(revision=revision)
    assert at is not None, "asked for only if one of the two was given"
    moment = Moment()
    moment.time.FromDatetime(at.replace(tzinfo=UTC))
    return moment


def sales(
    from_day: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")] = "",
    to_day: Annotated[str, typer.Option("--to", help="Last day, YYYY-MM-DD.")] = "",
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Show the sales, and which of them were cancelled, rejected or expired, day by day."""
    reply = ask("orders", "GetSalesDaily", from_day=from_day, to_day=to_day, consistency_token=token, page_size=1000)
    if as_json:
        print_json(reply)
        return
    rows = table(
        *("day", "currency", "placed", "came to nothing", "units", "units back"),
        *("placed (minor)", "came to nothing (minor)", "back (minor)"),
        leave=("units back", "units", "back (minor)", "came to nothing (minor)", "came to nothing"),
    )
    for x in reply.days:
        gone = x.orders_cancelled + x.orders_rejected + x.orders_expired
        gone_minor = x.cancelled_minor + x.rejected_minor + x.expired_minor
        numbers = (x.orders_placed, gone, x.units, x.returned_units, x.placed_minor, gone_minor, x.returned_minor)
        rows.add_row(x.day, x.currency, *(f"{n:,}" for n in numbers))
    rows.show()
    _print_more(reply)


# ------------------------------------------------------------------ products


@sends(products, "products", "register", "RegisterProduct", expects=False)
def register_product(
    sku: Sku,
    name: Annotated[str, typer.Option(help="What people call it.")],
    price: Annotated[str, typer.Option(help="Per unit, like 3.50.")],
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "EUR",
) -> Fields:
    """Register a product; `activate` puts it on sale."""
    return {"sku": sku, "name": name, "price": to_money(price, currency)}


@sends(products, "products", "rename", "RenameProduct")
def rename_product(sku: Sku, name: str) -> None:
    """Rename a product."""


@sends(products, "products", "price", "ChangePrice")
def change_price(sku: Sku, price: str, currency: str = "EUR") -> Fields:
    """Set the price of a unit."""
    return {"sku": sku, "price": to_money(price, currency)}


@sends(products, "products", "activate", "ActivateProduct", expects=False)
def activate(sku: Sku) -> None:
    """Put a product on sale."""


@sends(products, "products", "discontinue", "DiscontinueProduct", expects=False)
def discontinue(sku: Sku) -> None:
    """Take a product off sale for good; it receives no stock any more."""


@products.command("get")
def get_product(sku: Sku, token: Token = "", as_json: AsJson = False) -> None:
    """Show one product."""
    reply = ask("products", "GetProduct", sku=sku, consistency_token=token)
    _show_products(reply, [reply.product], as_json)


@products.command("list")
def list_products(
    status: Annotated[str, typer.Option(help="inactive, active or discontinued.")] = "",
    page_size: PageSize = 50,
    page_token: PageToken = "",
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Show products by sku."""
    number = status_number(ProductStatus, "PRODUCT_STATUS_", status)
    fields = {"status": number, "page_size": page_size, "page_token": page_token, "consistency_token": token}
    reply = ask("products", "ListProducts", **fields)
    _show_products(reply, reply.products, as_json)


def _show_products(reply: Message, found: Any, as_json: bool) -> None:  # a flag of the command line
    if as_json:
        print_json(reply)
        return
    rows = table("sku", "name", "price", "status", leave=("status", "name"), texts=("name",))
    for x in found:
        rows.add_row(x.sku, x.name, money(x.price), enum_name(ProductStatus, x.status, "PRODUCT_STATUS_"))
    rows.show()
    _print_more(reply)


# ------------------------------------------------------------------ stock


Units = Annotated[int, typer.Argument(help="Units of sale.")]
ReservationId = Annotated[str, typer.Argument(help="The reservation's UUID.")]


@sends(stock, "products", "receive", "ReceiveStock", expects=False)
def receive_stock(sku: Sku, quantity: Units) -> None:
    """Receive units into stock; for a discontinued product use adjust."""


@sends(stock, "products", "adjust", "AdjustStock", expects=False)
def adjust_stock(
    sku: Sku,
    change: Annotated[int, typer.Option(help="Found more, or less when negative: --change -3.")],
    reason: Annotated[str, typer.Option(help="What the counter says.")],
) -> None:
    """Correct the stock after a count."""


@sends(stock, "products", "reserve", "ReserveStock", expects=False)
def reserve_stock(
    sku: Sku,
    reservation_id: ReservationId,
    quantity: Units,
    expires_at: Annotated[datetime | None, typer.Option(help="UTC; from then on it may be expired.")] = None,
) -> Fields:
    """Reserve units, if so many are available."""
    fields: dict[str, Any] = {"sku": sku, "reservation_id": reservation_id, "quantity": quantity}
    if expires_at is not None:
        fields["expires_at"] = expires_at.replace(tzinfo=UTC)
    return fields


@sends(stock, "products", "commit", "CommitReservation", expects=False)
def commit_reservation(sku: Sku, reservation_id: ReservationId) -> None:
    """Commit a reservation: its units leave the stock."""


@sends(stock, "products", "release", "ReleaseReservation", expects=False)
def release_reservation(sku: Sku, reservation_id: ReservationId) -> None:
    """Release a reservation."""


@sends(stock, "products", "expire", "ExpireReservation", expects=False)
def expire_reservation(sku: Sku, reservation_id: ReservationId) -> None:
    """Expire a reservation whose deadline has passed."""


@sends(stock, "products", "restock", "RestockReturn", expects=False)
def restock_return(
    sku: Sku,
    return_id: Annotated[str, typer.Argument(help="A UUID; the units of one id are received once.")],
    quantity: Units,
) -> None:
    """Receive returned units into stock."""


@stock.command("get")
def get_stock(sku: Sku, token: Token = "", as_json: AsJson = False) -> None:
    """Show the stock of one product."""
    reply = ask("products", "GetStock", sku=sku, consistency_token=token)
    _show_stock(reply, [reply.stock], as_json)


@stock.command("list")
def list_stock(
    at_most: Annotated[int | None, typer.Option(help="Only products of which no more is available.")] = None,
    page_size: PageSize = 50,
    page_token: PageToken = "",
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Show stock by sku."""
    fields: dict[str, Any] = {"page_size": page_size, "page_token": page_token, "consistency_token": token}
    if at_most is not None:
        fields["available_at_most"] = at_most
    reply = ask("products", "ListStock", **fields)
    _show_stock(reply, reply.stock, as_json)


def _show_stock(reply: Message, found: Any, as_json: bool) -> None:  # a flag of the command line
    if as_json:
        print_json(reply)
        return
    rows = table(
        "sku", "on hand", "reserved", "available", "reservations", leave=("reservations", "reserved", "on hand")
    )
    for x in found:
        rows.add_row(x.sku, *(f"{n:,}" for n in (x.on_hand, x.reserved, x.available, x.open_reservations)))
    rows.show()
    _print_more(reply)


# ------------------------------------------------------------------ users


@sends(users, "users", "register", "RegisterUser", expects=False)
def register_user(
    name: Annotated[str, typer.Option()],
    email: Annotated[str, typer.Option()],
    user_id: Annotated[str, typer.Option(help="A UUID; without it the request's id.")] = "",
) -> None:
    """Register a user."""


@sends(users, "users", "email", "ChangeEmail", expects=False)
def change_email(user_id: UserId, email: str) -> None:
    """Set the e-mail address."""


@users.command("resolve-email")
def resolve_email(
    address: Annotated[str, typer.Argument(help="The address in any spelling, or its hash as `verify` shows it.")],
    keep: Annotated[str, typer.Option(help="The UUID of the user who keeps it.")],
    why: WhyOrReason = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Resolve an e-mail address that several users have: one keeps it, the others have to change theirs.

    It shows the plan, asks, and applies it. A plan that is not current any more is refused. The plan reads the streams
    of all users: with very many, give it time (orderstream --deadline 120 users resolve-email …).
    """
    require_why(why, dry_run=dry_run)
    named = {"email": address} if "@" in address else {"email_hash": address}
    plan = ask("users", "GetEmailHolders", **named)
    others = [one.user_id for one in plan.holders if one.user_id != keep]
    if dry_run and as_json:
        print_json(plan)
        return
    if not as_json:
        _show_holders(plan, keep)
    if len(others) == len(plan.holders):
        fail(f"user {keep} does not have this address", 2)
    if not others:
        fail("no other user has this address: there is nothing to settle", 2)
    if dry_run:
        return
    if not yes:
        agree(f"let {keep} keep the address?")
    send(
        "users",
        "ResolveEmail",
        as_json,
        request_id=request_id,
        email_hash=plan.email_hash,
        keep_user_id=keep,
        other_user_ids=others,
        reason=why,
        **expecting(plan.claim_revision if plan.HasField("claim_revision") else None),
    )


def _show_holders(plan: Any, keep: str) -> None:
    rows = table("user", "has it since", "claimed", "then", leave=("claimed", "has it since"))
    for x in plan.holders:
        claimed = "yes" if x.user_id == plan.claimed_by_user_id else "no"
        rows.add_row(x.user_id, when(x.since), claimed, "keeps it" if x.user_id == keep else "has to change it")
    rows.show()


@sends(users, "users", "rename", "ChangeName")
def rename_user(user_id: UserId, name: str) -> None:
    """Rename a user."""


@sends(users, "users", "block", "BlockUser", expects=False)
def block(user_id: UserId, reason: Annotated[str, typer.Option()]) -> None:
    """Block a user from ordering; orders that are placed and not confirmed yet are rejected."""


@sends(users, "users", "unblock", "UnblockUser", expects=False)
def unblock(user_id: UserId) -> None:
    """Unblock a user."""


AddressId = Annotated[str, typer.Argument(help="What you call it: home.")]
Name = Annotated[str, typer.Option(help="Who receives.")]
Street = Annotated[str, typer.Option(help="Street and number.")]
City = Annotated[str, typer.Option()]
PostalCode = Annotated[str, typer.Option()]


@sends(users, "users", "add-address", "AddAddress", expects=False)
def add_address(
    user_id: UserId,
    address_id: AddressId,
    name: Name,
    street: Street,
    city: City,
    country: Country,
    postal_code: PostalCode = "",
    default: Annotated[bool, typer.Option("--default", help="Make it the default; the first one is.")] = False,
) -> Fields:
    """Add an address to a user."""
    address = _address(name, street, city, postal_code, country)
    return {"user_id": user_id, "address_id": address_id, "address": address, "is_default": default}


@sends(users, "users", "change-address", "ChangeAddress", expects=False)
def change_user_address(
    user_id: UserId,
    address_id: AddressId,
    name: Name,
    street: Street,
    city: City,
    country: Country,
    postal_code: PostalCode = "",
) -> Fields:
    """Replace one of a user's addresses."""
    address = _address(name, street, city, postal_code, country)
    return {"user_id": user_id, "address_id": address_id, "address": address}


@sends(users, "users", "remove-address", "RemoveAddress", expects=False)
def remove_address(user_id: UserId, address_id: AddressId) -> None:
    """Remove an address; if it was the default, the oldest remaining one becomes the default."""


@sends(users, "users", "default-address", "SetDefaultAddress", expects=False)
def set_default_address(user_id: UserId, address_id: AddressId) -> None:
    """Set the default address."""


@users.command("get")
def get_user(user_id: UserId, token: Token = "", as_json: AsJson = False) -> None:
    """Show one user."""
    reply = ask("users", "GetUser", user_id=user_id, consistency_token=token)
    if as_json:
        print_json(reply)
        return
    state = f"blocked: {reply.user.block_reason}" if reply.user.blocked else "in good standing"
    email = f"{reply.user.email}, has to be changed" if reply.user.email_change_required else reply.user.email
    out.print(f"{reply.user.user_id}  {reply.user.name} <{email}>, {state}")
    for x in reply.user.addresses:
        parts = (x.address.name, x.address.line1, x.address.postal_code, x.address.city, x.address.country)
        mark = " (default)" if x.address_id == reply.user.default_address_id else ""
        out.print(f"  {x.address_id}{mark}: {', '.join(part for part in parts if part)}", highlight=False)
    _print_freshness(reply)


# ------------------------------------------------------------------ shared


def _address(name: str, street: str, city: str, postal_code: str, country: str) -> Address:
    return Address(name=name, line1=street, city=city, postal_code=postal_code, country=country)


def status_number(enum: Any, prefix: str, name: str) -> int:
    if not name:
        return 0
    try:
        return int(enum.Value(prefix + name.upper()))
    except ValueError:
        known = ", ".join(key.removeprefix(prefix).lower() for key in enum.keys()[1:])
        fail(f"there is no status {name!r}; there are {known}", 2)


def _print_more(reply: Any) -> None:
    if getattr(reply, "next_page_token", ""):
        out.print(f"more: --page-token {reply.next_page_token}", soft_wrap=True)
    _print_not_shown(reply)
    _print_freshness(reply)


def _print_not_shown(reply: Any) -> None:
    if not_shown := getattr(reply, "not_shown", ()):  # a single document, and the log itself, skip nothing
        keys = ", ".join(not_shown)
        out.print(f"{len(not_shown)} left out, they cannot be shown: {keys}", highlight=False, soft_wrap=True)


def _print_freshness(reply: Any) -> None:
    freshness = reply.freshness
    source = SOURCES.get(freshness.source, "")
    out.print(f"as of position {freshness.position}, {freshness.age_ms} ms ago{source}", style="dim")


SOURCES = {
    FreshnessSource.FRESHNESS_SOURCE_VIEW_AND_STREAM: ", from the view and the stream's last events",
    FreshnessSource.FRESHNESS_SOURCE_LOG: ", from the log",
}
