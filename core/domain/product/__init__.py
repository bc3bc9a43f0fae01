"""A product: its name, its price, and whether it is on sale."""

from core.domain.decider import Decider
from core.domain.product.commands import ProductCommand
from core.domain.product.decide import decide
from core.domain.product.events import ProductEvent
from core.domain.product.state import NoProduct, ProductState, evolve

PRODUCT: Decider[ProductState, ProductCommand, ProductEvent] = Decider(
    category="product", initial=NoProduct(), decide=decide, evolve=evolve
)
