"""Sentences for refusals of rules: by reason, the problem and what to do about it.

Braces take values from the metadata; a name that ends in `_minor` is an amount in `currency`. Of several sentences the
first one applies whose values are all present. Without a sentence, the server's own words are used.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Words(NamedTuple):
    """`remedy` is used if the server names none."""

    sentence: str
    remedy: str = ""


def _unknown(what: str, named: str, remedy: str = "") -> tuple[Words, ...]:
    return (Words(f"there is no {what} {{{named}}}", remedy), Words(f"there is no such {what}", remedy))


def _used(what: str, named: str) -> tuple[Words, ...]:
    sentence = f"the {what} {{{named}}} is there already, and another one than this"
    return (Words(sentence, "choose another name for the new one"),)


SEE_ORDER = "see orderstream orders get {order_id}"
SEE_STOCK = "see orderstream stock get {sku}"
SEE_USER = "see orderstream users get {user_id}"
SEE_PROCESS = "see orderstream processes get {order_id}"
ADJUST = "orderstream stock adjust {sku} --change QUANTITY --reason REASON"

REFUSALS: Mapping[str, tuple[Words, ...]] = {
    "ORDER_NOT_FOUND": _unknown("order", "order_id", "see orderstream orders list"),
    "LINE_NOT_FOUND": (Words("order {order_id} has no line {line_id}", SEE_ORDER),),
    "SHIPMENT_NOT_FOUND": (Words("order {order_id} has no parcel {shipment_id}", SEE_ORDER),),
    "AUTHORISATION_NOT_FOUND": (Words("order {order_id} has no authorisation {authorisation_id}", SEE_ORDER),),
    "REFUND_NOT_FOUND": (Words("order {order_id} has no refund {refund_id}", SEE_ORDER),),
    "RETURN_NOT_FOUND": (Words("order {order_id} has no return {return_id}", SEE_ORDER),),
    "PRODUCT_NOT_FOUND": _unknown("product", "sku", "see orderstream products list"),
    "STOCK_NOT_FOUND": (Words("there is no stock of {sku}", "orderstream stock receive {sku} QUANTITY"),),
    "RESERVATION_NOT_FOUND": (Words("no units of {sku} are reserved as {reservation_id}", SEE_STOCK),),
    "USER_NOT_FOUND": _unknown("user", "user_id"),
    "ADDRESS_NOT_FOUND": (Words("user {user_id} has no address {address_id}", SEE_USER),),
    "PROCESS_NOT_FOUND": (
        Words("order {order_id} has no process", "if it is placed: orderstream processes start {order_id}"),
    ),
    "ORDER_EXISTS": (Words("the order {order_id} is there already", "leave the id out: it gets a new one"),),
    "PRODUCT_EXISTS": (Words("the product {sku} is there already", "see orderstream products get {sku}"),),
    "USER_EXISTS": (Words("the user {user_id} is there already", "leave the id out: it gets a new one"),),
    "EMAIL_TAKEN": (Words("another user has this e-mail address", "give another one"),),
    "LINE_EXISTS": (
        Words(
            "order {order_id} has a line {line_id} already, with another product or quantity",
            "orderstream orders change-quantity {order_id} {line_id} QUANTITY",
        ),
    ),
    "SHIPMENT_EXISTS": _used("parcel", "shipment_id"),
    "AUTHORISATION_EXISTS": (
        Words(
            "the authorisation {authorisation_id} is there already, and another one than this: {stage}",
            "choose another name for the new one",
        ),
    ),
    "CAPTURE_EXISTS": _used("capture", "capture_id"),
    "REFUND_EXISTS": _used("refund", "refund_id"),
    "RETURN_ID_USED": _used("return", "return_id"),
    "DISCOUNT_EXISTS": _used("discount", "discount_id"),
    "CANCELLATION_EXISTS": _used("cancellation", "cancellation_id"),
    "NOTE_EXISTS": _used("note", "note_id"),
    "RESERVATION_EXISTS": _used("reservation", "reservation_id"),
    "RETURN_EXISTS": _used("return", "return_id"),
    "ADDRESS_EXISTS": (
        Words(
            "user {user_id} has an address {address_id} already",
            "orderstream users change-address {user_id} {address_id}",
        ),
    ),
    "AMOUNT_INVALID": (Words("{amount_minor} is no {field} that can be taken: give 1 or more, a price 0 or more"),),
    "CURRENCY_UNKNOWN": (Words("{currency!r} is no currency of ISO 4217", "give three letters, like EUR"),),
    "CURRENCY_ENDED": (Words("{currency} is not in use any more", "give the currency that followed it"),),
    "QUANTITY_INVALID": (Words("{quantity} is no quantity that {field} can have", "see docs/limits.md"),),
    "DISCOUNT_INVALID": (
        Words("the discount {discount_id} is no discount", "give an amount like 5.00, or a share like 12.5%"),
    ),
    "ADDRESS_INVALID": (Words("the {field} of {address} {problem}"),),
    "NOTE_TOO_LONG": (Words("the note has {length} characters, and may have {most}"),),
    "TOO_MANY_LINES": (Words("an order has no room for {lines} lines", "make several orders of it"),),
    "TOO_MANY_ENTRIES": (Words("order {order_id} may have {most} {what}, and has no room for more"),),
    "TOO_MANY_RESERVATIONS": (Words("{sku} has {most} reservations already", "wait until some have ended"),),
    "TOO_MANY_ADDRESSES": (
        Words("user {user_id} has {most} addresses already", "orderstream users remove-address {user_id} ADDRESS"),
    ),
    "ORDER_NOT_EDITABLE": (Words("order {order_id} is {status}: only a draft can be changed", SEE_ORDER),),
    "ORDER_STATE": (Words("order {order_id} is {status}, which does not allow to {command}", SEE_ORDER),),
    "ORDER_EMPTY": (Words("order {order_id} has no lines", "orderstream orders add-line {order_id} SKU"),),
    "ADDRESS_MISSING": (
        Words("order {order_id} has no shipping address", "orderstream orders set-address {order_id}"),
    ),
    "PRODUCT_NOT_SELLABLE": (Words("{sku} is not on sale", "see orderstream products list --status active"),),
    "CURRENCY_MISMATCH": (
        Words("{sku} is sold in {product_currency}, and the order is in {order_currency}"),
        Words("the amount is in {amount_currency}, and the order in {order_currency}", "--currency {order_currency}"),
    ),
    "PRICE_CHANGED": (
        Words(
            "{sku} costs {current_price_minor} now, and {order_price_minor} in the order",
            "orderstream orders refresh-prices {order_id}",
        ),
    ),
    "QUANTITY_EXCEEDS_OPEN": (
        Words("{wanted} units of line {line_id} are wanted, and {open} are left: the others are sent or cancelled"),
    ),
    "SHIPMENT_NOT_DISPATCHED": (
        Words(
            "parcel {shipment_id} has not left the house",
            "orderstream orders dispatch {order_id} --shipment {shipment_id} --carrier CARRIER",
        ),
    ),
    "SHIPMENT_DISPATCHED": (Words("parcel {shipment_id} has left the house", SEE_ORDER),),
    "SHIPMENT_CANCELLED": (
        Words(
            "parcel {shipment_id} was unpacked", "pack another one: orderstream orders ship {order_id} --shipment NEW"
        ),
    ),
    "SHIPMENT_STATE": (Words("parcel {shipment_id} is {stage}, which does not allow this", SEE_ORDER),),
    "CANCEL_HAS_SHIPMENTS": (
        Words(
            "order {order_id} has parcels ({shipments})",
            "unpack them first (orderstream orders unpack {order_id}), or cancel what is in none "
            "(orderstream orders cancel-line {order_id})",
        ),
    ),
    "ALREADY_SHIPPED": (Words("order {order_id} has been sent: its address cannot change any more"),),
    "ORDER_ON_HOLD": (Words("order {order_id} is on hold", "orderstream orders release {order_id}"),),
    "TOTAL_TOO_LARGE": (Words("order {order_id} costs more than can be counted", "make several orders of it"),),
    "AUTHORISATION_EXCEEDS_TOTAL": (
        Words("{amount_minor} more than the {authorised_minor} authorised is above the {total_minor} of the order"),
    ),
    "ALREADY_CAPTURED": (
        Words(
            "{captured_minor} of authorisation {authorisation_id} are captured: that cannot be voided",
            "orderstream payments refund {order_id}, or let the rest lapse: orderstream payments lapse {order_id}",
        ),
    ),
    "CAPTURE_EXCEEDS_AUTHORISED": (
        Words(
            "{amount_minor} more than the {captured_minor} captured is above the {authorised_minor} that "
            "authorisation {authorisation_id} holds"
        ),
    ),
    "REFUND_SETTLED": (Words("refund {refund_id} is with the customer: it cannot fail any more", SEE_ORDER),),
    "REFUND_EXCEEDS_CAPTURED": (
        Words("{amount_minor} more than the {refunded_minor} refunded is above the {captured_minor} captured"),
    ),
    "ORDER_NOT_EXPIRED": (Words("order {order_id} has time until {expires_at}", "wait, or cancel it"),),
    "ORDER_OPEN_ITEMS": (
        Words(
            "order {order_id} is not done: {undelivered_units} units not delivered, {open_returns} returns open, "
            "{unpaid_minor} not paid, {overpaid_minor} paid too much, {refunding_minor} being refunded, "
            "{owed_minor} owed to the customer",
            SEE_ORDER,
        ),
    ),
    "DISCOUNT_EXCEEDS_TOTAL": (
        Words(
            "discount {discount_id} takes {amount_minor} off, and the goods cost {goods_minor}",
            "make it smaller, or orderstream orders remove-discount {order_id} {discount_id}",
        ),
    ),
    "RETURN_STATE": (Words("return {return_id} is {stage}, which does not allow this", SEE_ORDER),),
    "RETURN_EXCEEDS_DELIVERED": (
        Words(
            "{wanted} units of line {line_id} are to be returned, and {returnable} can be: the rest was not delivered"
        ),
    ),
    "RECEIVED_EXCEEDS_REQUESTED": (
        Words("{received} units of line {line_id} were received, and {requested} were to be returned"),
    ),
    "RECEIVED_EXCEEDS_SENT": (Words("{received} units of line {line_id} were received, and {sent} were sent"),),
    "PRODUCT_DISCONTINUED": (Words("{sku} is discontinued", "a stock that is there can be corrected: " + ADJUST),),
    "PRODUCT_CURRENCY_FIXED": (Words("{sku} is sold in {currency}, and cannot be in {wanted}"),),
    "OUT_OF_STOCK": (
        Words(
            "{wanted} units of {sku} are wanted, and {available} are available",
            "orderstream stock receive {sku} QUANTITY",
        ),
    ),
    "STOCK_BELOW_RESERVED": (
        Words("{reserved} of the {on_hand} units of {sku} are reserved: {change} would leave too few", SEE_STOCK),
    ),
    "STOCK_TOO_LARGE": (Words("{on_hand} units of {sku} are on hand, and there may be {most}"),),
    "RESERVATION_ENDED": (Words("reservation {reservation_id} of {sku} has ended: {ended}", SEE_STOCK),),
    "RESERVATION_EXCEEDED": (Words("{wanted} units are wanted of reservation {reservation_id}, which has {reserved}"),),
    "RESERVATION_NOT_EXPIRED": (
        Words(
            "reservation {reservation_id} of {sku} expires: {expires_at}",
            "orderstream stock release {sku} {reservation_id}",
        ),
    ),
    "EMAIL_NOT_HELD": (Words("user {user_id} does not have this e-mail address", SEE_USER),),
    "USER_BLOCKED": (Words("user {user_id} is blocked", "orderstream users unblock {user_id}"),),
    "PROCESS_STEP_NOT_FAILED": (
        Words("{step} has not failed in the process of order {order_id}, which waits for {waits_for}", SEE_PROCESS),
    ),
    "PROCESS_ENDED": (Words("the process of order {order_id} has ended: {outcome}", SEE_PROCESS),),
    "PROCESS_HAS_SHIPPED": (
        Words(
            "order {order_id} has been sent: its process cannot take it back", "orderstream returns request {order_id}"
        ),
    ),
    "PROCESS_PLAN_STALE": (
        Words("order {order_id} has changed since the plan was made", "orderstream processes start {order_id}"),
    ),
    "VIEW_NOT_FOUND": _unknown("view", "view", "see orderstream projections list"),
    "SUBSCRIPTION_NOT_FOUND": (Words("there is no group {group} on {source}", "see orderstream subscriptions list"),),
    "EVENT_NOT_FOUND": (
        Words("{stream} has no event {revision}", "see orderstream events tail --from-start --stream {stream}"),
    ),
}
