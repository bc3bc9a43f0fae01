"""Why the domain says no.

Rejected(reason, **metadata)     one exception; callers switch on `reason`, never on the text
"""

from enum import StrEnum


class Reason(StrEnum):
    """Reasons are API: each stands in an `errors.proto`, and `server.rpc.errors` maps each to one status code."""

    AMOUNT_INVALID = "AMOUNT_INVALID"
    CURRENCY_UNKNOWN = "CURRENCY_UNKNOWN"

    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    ORDER_EXISTS = "ORDER_EXISTS"
    ORDER_NOT_EDITABLE = "ORDER_NOT_EDITABLE"
    ORDER_STATE = "ORDER_STATE"
    ORDER_EMPTY = "ORDER_EMPTY"
    ADDRESS_MISSING = "ADDRESS_MISSING"
    ADDRESS_INVALID = "ADDRESS_INVALID"
    QUANTITY_INVALID = "QUANTITY_INVALID"
    TOO_MANY_LINES = "TOO_MANY_LINES"
    LINE_NOT_FOUND = "LINE_NOT_FOUND"
    LINE_EXISTS = "LINE_EXISTS"
    PRODUCT_NOT_SELLABLE = "PRODUCT_NOT_SELLABLE"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    PRICE_CHANGED = "PRICE_CHANGED"
    QUANTITY_EXCEEDS_OPEN = "QUANTITY_EXCEEDS_OPEN"
    SHIPMENT_NOT_FOUND = "SHIPMENT_NOT_FOUND"
    SHIPMENT_EXISTS = "SHIPMENT_EXISTS"
    SHIPMENT_NOT_DISPATCHED = "SHIPMENT_NOT_DISPATCHED"
    SHIPMENT_DISPATCHED = "SHIPMENT_DISPATCHED"
    CANCEL_HAS_SHIPMENTS = "CANCEL_HAS_SHIPMENTS"
    ALREADY_SHIPPED = "ALREADY_SHIPPED"
    ORDER_ON_HOLD = "ORDER_ON_HOLD"
    TOTAL_TOO_LARGE = "TOTAL_TOO_LARGE"

    PRODUCT_NOT_FOUND = "PRODUCT_NOT_FOUND"
    PRODUCT_EXISTS = "PRODUCT_EXISTS"
    PRODUCT_DISCONTINUED = "PRODUCT_DISCONTINUED"
    PRODUCT_CURRENCY_FIXED = "PRODUCT_CURRENCY_FIXED"

    STOCK_NOT_FOUND = "STOCK_NOT_FOUND"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    STOCK_BELOW_RESERVED = "STOCK_BELOW_RESERVED"
    STOCK_TOO_LARGE = "STOCK_TOO_LARGE"
    RESERVATION_NOT_FOUND = "RESERVATION_NOT_FOUND"
    RESERVATION_EXISTS = "RESERVATION_EXISTS"
    RESERVATION_ENDED = "RESERVATION_ENDED"
    RESERVATION_NOT_EXPIRED = "RESERVATION_NOT_EXPIRED"
    TOO_MANY_RESERVATIONS = "TOO_MANY_RESERVATIONS"
    RETURN_EXISTS = "RETURN_EXISTS"

    USER_NOT_FOUND = "USER_NOT_FOUND"
    USER_EXISTS = "USER_EXISTS"
    USER_BLOCKED = "USER_BLOCKED"


class Rejected(Exception):  # a refusal is an answer, not an error
    """A command contradicts the state or a rule. Nothing was decided, nothing may be written.

    `metadata` carries every value that the message mentions, as text.
    """

    def __init__(self, reason: Reason, **metadata: object) -> None:
        self.reason = reason
        self.metadata = {name: str(value) for name, value in metadata.items()}
        super().__init__(f"{reason}: " + ", ".join(f"{name}={value}" for name, value in self.metadata.items()))
