"""StockQueryService."""

from core.failures import NotFound
from core.readmodel.views.stock_levels import stock_levels
from core.rpc.typing import Context
from core.rpc.validation import check, sku
from protos.products.v1 import queries_pb2 as pb
from protos.products.v1.queries_pb2_grpc import StockQueryServiceServicer
from server.queries import mapping
from server.queries.rows import shown
from server.queries.views import Views


class StockQueries(StockQueryServiceServicer):
    """Queries about stock."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def GetStock(self, request: pb.GetStockRequest, context: Context) -> pb.GetStockResponse:
        check(request, {"sku": sku})
        found = await self._views.one(stock_levels, request.sku, request.consistency_token, context)
        if found.document is None:
            raise NotFound("STOCK_NOT_FOUND", sku=request.sku)
        return pb.GetStockResponse(stock=mapping.stock(found.document), freshness=found.freshness)

    async def ListStock(self, request: pb.ListStockRequest, context: Context) -> pb.ListStockResponse:
        limited = request.HasField("available_at_most")
        where = {"available": {"$lte": request.available_at_most}} if limited else {}
        page = await self._views.page("stock_levels", request, context, where)
        stock, not_shown = shown("stock_levels", page.rows, mapping.stock)
        return pb.ListStockResponse(stock=stock, not_shown=not_shown, **page.fields)
