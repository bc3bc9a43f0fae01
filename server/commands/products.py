"""Maps product requests to commands."""

from core.domain.product import PRODUCT, commands
from core.rpc.validation import sku, text
from protos.products.v1 import commands_pb2 as pb
from server.commands.routes import Row, routes

ROUTES = routes(
    pb,
    PRODUCT,
    "sku",
    {
        "RegisterProduct": Row(
            commands.RegisterProduct, creates_stream=True, rules={"sku": sku, "name": text(1, 200)}, required=("price",)
        ),
        "RenameProduct": Row(commands.RenameProduct, rules={"sku": sku, "name": text(1, 200)}),
        "ChangePrice": Row(commands.ChangePrice, rules={"sku": sku}, required=("price",)),
        "ActivateProduct": Row(commands.ActivateProduct, rules={"sku": sku}),
        "DiscontinueProduct": Row(commands.DiscontinueProduct, rules={"sku": sku}),
    },
)
