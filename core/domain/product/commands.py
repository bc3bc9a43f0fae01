"""The commands of a product."""

from dataclasses import dataclass
from datetime import datetime

from core.domain.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterProduct:
    sku: str
    name: str
    price: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameProduct:
    sku: str
    name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePrice:
    sku: str
    price: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivateProduct:
    sku: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscontinueProduct:
    sku: str
    at: datetime


ProductCommand = RegisterProduct | RenameProduct | ChangePrice | ActivateProduct | DiscontinueProduct
