"""The stock of a shop by its raw log, without any of our code that reads or folds events."""

import json
from collections import Counter
from typing import Any

from esdbclient import EventStoreDBClient

from client.sdk import OrderstreamClient

OUT = ("ReservationCommitted", "ReservationPartlyCommitted")
FREED = ("ReservationReleased", "ReservationPartlyReleased", "ReservationExpired")


class Books:
    """What was received, what has left and come back as orders say, and what is reserved and on hand as stocks say.

    Units by SKU; `open` are the reservations, by SKU and id.
    """

    def __init__(self, uri: str) -> None:
        self.received: Counter[str] = Counter()
        self.on_hand: Counter[str] = Counter()
        self.open: dict[tuple[str, str], int] = {}  # units by sku and reservation
        self.shipped: Counter[str] = Counter()
        self.returned: Counter[str] = Counter()
        self._skus: dict[tuple[str, str], str] = {}  # by order and line
        self._parcels: dict[tuple[str, str], list[dict[str, Any]]] = {}
        client = EventStoreDBClient(uri)
        try:
            for event in client.read_all():
                category = event.stream_name.partition("-")[0]
                if category == "stock":
                    self._stock(event.type, json.loads(event.data))
                elif category == "order":
                    self._order(event.type, json.loads(event.data))
        finally:
            client.close()

    def _stock(self, kind: str, data: dict[str, Any]) -> None:
        sku, units = data["sku"], data.get("quantity", data.get("change", 0))
        reservation = (sku, data.get("reservation_id", ""))
        if kind == "StockReserved":
            self.open[reservation] = units
        elif kind in (*OUT, *FREED):
            self.open[reservation] = self.open.get(reservation, 0) - units
        if kind == "StockReceived":
            self.received[sku] += units
        if kind in OUT:
            self.on_hand[sku] -= units
        elif kind in ("StockReceived", "StockAdjusted", "StockRestocked"):
            self.on_hand[sku] += units

    def _order(self, kind: str, data: dict[str, Any]) -> None:
        order = data["order_id"]
        if kind == "LineAdded":
            self._skus[order, data["line_id"]] = data["sku"]
        elif kind == "ShipmentCreated":
            self._parcels[order, data["shipment_id"]] = data["lines"]
        elif kind == "ShipmentDispatched":
            for line in self._parcels[order, data["shipment_id"]]:
                self.shipped[self._skus[order, line["line_id"]]] += line["quantity"]
        elif kind in ("ShipmentReturned", "ReturnReceived", "ExcessReturned"):
            for line in data["lines"]:
                if line["condition"] == "RETURN_CONDITION_RESALEABLE":
                    self.returned[line["sku"]] += line["quantity"]

    async def differences(self, shop: OrderstreamClient) -> list[str]:
        """Between the log, and what the query service says."""
        shown = {x.sku: x async for page in shop.products.pages("ListStock", page_size=100) for x in page.stock}
        found = [f"{sku} has stock, but was never received" for sku in shown.keys() - self.received.keys()]
        for sku, received in self.received.items():
            stock, left = shown[sku], self.shipped[sku] - self.returned[sku]
            reserved = sum(units for (of, _), units in self.open.items() if of == sku)
            if received != stock.on_hand + left:
                found.append(f"{sku}: {received} received, {left} have left and {stock.on_hand} are on hand")
            if (stock.on_hand, stock.reserved) != (self.on_hand[sku], reserved):
                by_log = f"by the log {self.on_hand[sku]} and {reserved}"
                found.append(f"{sku}: {stock.on_hand} on hand and {stock.reserved} reserved, {by_log}")
        return found
