"""Maps product requests to commands."""

from core.domain.money import Money
from core.domain.product import PRODUCT, commands
from core.domain.product.state import ProductState
from core.rpc.validation import sku, text
from protos.common.v1 import types_pb2 as common
from protos.products.v1 import commands_pb2 as pb
from server.commands.routes import CommandContext, Route


async def register(
    request: pb.RegisterProductRequest, sku_: str, _: ProductState, context: CommandContext
) -> commands.RegisterProduct:
    return commands.RegisterProduct(sku=sku_, name=request.name, price=_money(request.price), at=context.at)


async def rename(
    request: pb.RenameProductRequest, sku_: str, _: ProductState, context: CommandContext
) -> commands.RenameProduct:
    return commands.RenameProduct(sku=sku_, name=request.name, at=context.at)


async def change_price(
    request: pb.ChangePriceRequest, sku_: str, _: ProductState, context: CommandContext
) -> commands.ChangePrice:
    return commands.ChangePrice(sku=sku_, price=_money(request.price), at=context.at)


async def activate(
    _request: pb.ActivateProductRequest, sku_: str, _: ProductState, context: CommandContext
) -> commands.ActivateProduct:
    return commands.ActivateProduct(sku=sku_, at=context.at)


async def discontinue(
    _request: pb.DiscontinueProductRequest, sku_: str, _: ProductState, context: CommandContext
) -> commands.DiscontinueProduct:
    return commands.DiscontinueProduct(sku=sku_, at=context.at)


def _money(money: common.Money) -> Money:
    return Money(amount_minor=money.amount_minor, currency=money.currency)


ROUTES = {
    "RegisterProduct": Route(
        decider=PRODUCT,
        creates_stream=True,
        id_field="sku",
        request=pb.RegisterProductRequest,
        response=pb.RegisterProductResponse,
        rules={"sku": sku, "name": text(1, 200)},
        required=("price",),
        to_command=register,
    ),
    "RenameProduct": Route(
        decider=PRODUCT,
        id_field="sku",
        request=pb.RenameProductRequest,
        response=pb.RenameProductResponse,
        rules={"sku": sku, "name": text(1, 200)},
        to_command=rename,
    ),
    "ChangePrice": Route(
        decider=PRODUCT,
        id_field="sku",
        request=pb.ChangePriceRequest,
        response=pb.ChangePriceResponse,
        rules={"sku": sku},
        required=("price",),
        to_command=change_price,
    ),
    "ActivateProduct": Route(
        decider=PRODUCT,
        id_field="sku",
        request=pb.ActivateProductRequest,
        response=pb.ActivateProductResponse,
        rules={"sku": sku},
        to_command=activate,
    ),
    "DiscontinueProduct": Route(
        decider=PRODUCT,
        id_field="sku",
        request=pb.DiscontinueProductRequest,
        response=pb.DiscontinueProductResponse,
        rules={"sku": sku},
        to_command=discontinue,
    ),
}
