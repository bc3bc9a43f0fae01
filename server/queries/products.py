"""ProductQueryService."""

from core.failures import NotFound
from core.readmodel.views.product_list import product_list
from core.rpc.typing import Context
from core.rpc.validation import check, known_enum, sku
from protos.products.v1 import queries_pb2 as pb
from protos.products.v1 import types_pb2 as types
from protos.products.v1.queries_pb2_grpc import ProductQueryServiceServicer
from server.queries import mapping
from server.queries.paging import from_page_token, page_size, to_page_token
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
        most, after = page_size(request.page_size), from_page_token(request, str)
        freshness, generation = await self._views.at_least("product_list", request.consistency_token, context)
        name = types.ProductStatus.Name(request.status).removeprefix("PRODUCT_STATUS_")
        where = {"status": name} if request.status else {}
        keys = {} if after is None else {"$gt": after[0]}
        rows = await self._views.answered(self._views.find.by_key("product_list", generation, where, keys, most + 1))
        page, more = rows[:most], len(rows) > most
        products, not_shown = shown("product_list", page, mapping.product)
        return pb.ListProductsResponse(
            products=products,
            not_shown=not_shown,
            next_page_token=to_page_token(request, [page[-1]["_id"]]) if more else "",
            freshness=freshness,
        )
