"""StockQueryService."""

from core.failures import NotFound
from core.readmodel.views.stock_levels import stock_levels
from core.rpc.typing import Context
from core.rpc.validation import check, sku
from protos.products.v1 import queries_pb2 as pb
from protos.products.v1.queries_pb2_grpc import StockQueryServiceServicer
from server.queries import mapping
from server.queries.paging import from_page_token, page_size, to_page_token
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
        most, after = page_size(request.page_size), from_page_token(request, str)
        freshness, generation = await self._views.at_least("stock_levels", request.consistency_token, context)
        limited = request.HasField("available_at_most")
        where = {"available": {"$lte": request.available_at_most}} if limited else {}
        keys = {} if after is None else {"$gt": after[0]}
        rows = await self._views.answered(self._views.find.by_key("stock_levels", generation, where, keys, most + 1))
        page, more = rows[:most], len(rows) > most
        stock, not_shown = shown("stock_levels", page, mapping.stock)
        return pb.ListStockResponse(
            stock=stock,
            not_shown=not_shown,
            next_page_token=to_page_token(request, [page[-1]["_id"]]) if more else "",
            freshness=freshness,
        )
