"""ProductQueryService."""

from core.failures import NotFound
from core.readmodel.views.product_list import product_list
from core.rpc.typing import Context
from core.rpc.validation import check, known_enum, sku
from protos.products.v1 import queries_pb2 as pb
from protos.products.v1 import types_pb2 as types
from protos.products.v1.queries_pb2_grpc import ProductQueryServiceServicer
from server.queries import mapping
from server.queries.rows import shown
from server.queries.views import Views


class ProductQueries(ProductQueryServiceServicer):
    """Queries about the catalogue."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def GetProduct(self, request: pb.GetProductRequest, context: Context) -> pb.GetProductResponse:
        check(request, {"sku": sku})
        found = await self._views.one(product_list, request.sku, request.consistency_token, context)
        if found.document is None:
            raise NotFound("PRODUCT_NOT_FOUND", sku=request.sku)
        return pb.GetProductResponse(product=mapping.product(found.document), freshness=found.freshness)

    async def ListProducts(self, request: pb.ListProductsRequest, context: Context) -> pb.ListProductsResponse:
        check(request, {"status": known_enum(types.ProductStatus.DESCRIPTOR)})
        name = types.ProductStatus.Name(request.status).removeprefix("PRODUCT_STATUS_")
        where = {"status": name} if request.status else {}
        page = await self._views.page("product_list", request, context, where)
        products, not_shown = shown("product_list", page.rows, mapping.product)
        return pb.ListProductsResponse(products=products, not_shown=not_shown, **page.fields)
