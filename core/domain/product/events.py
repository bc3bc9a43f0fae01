"""The events of a product. Field for field the newest messages of protos/products/v1/events.proto."""

from dataclasses import dataclass
from datetime import datetime

from core.domain.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRegistered:
    sku: str
    name: str
    price: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductRenamed:
    sku: str
    name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChanged:
    """`previous` is None where it was not recorded."""

    sku: str
    price: Money
    previous: Money | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductActivated:
    sku: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductDiscontinued:
    sku: str
    at: datetime


ProductEvent = ProductRegistered | ProductRenamed | PriceChanged | ProductActivated | ProductDiscontinued
