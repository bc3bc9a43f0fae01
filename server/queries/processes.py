"""ProcessQueryService."""

from protos.processes.v1 import queries_pb2 as pb
from protos.processes.v1 import types_pb2 as types
from protos.processes.v1.queries_pb2_grpc import ProcessQueryServiceServicer
from server.failures import NotFound
from server.queries import replies
from server.queries.paging import from_page_token, page_size, to_page_token
from server.queries.views import Views
from server.rpc.typing import Context
from server.rpc.validation import check, known_enum, uuid

VIEW = "process_status"


class ProcessQueries(ProcessQueryServiceServicer):
    """Answers about the processes of orders."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def GetProcess(self, request: pb.GetProcessRequest, context: Context) -> pb.GetProcessResponse:
        check(request, {"order_id": uuid})
        freshness, generation = await self._views.at_least(VIEW, request.consistency_token, context)
        found = await self._views.answered(self._views.find.one(VIEW, generation, request.order_id))
        if found is None:
            raise NotFound("PROCESS_NOT_FOUND", order_id=request.order_id)
        return pb.GetProcessResponse(process=replies.process(found), freshness=freshness)

    async def ListProcesses(self, request: pb.ListProcessesRequest, context: Context) -> pb.ListProcessesResponse:
        check(request, {"status": known_enum(types.ProcessStatus.DESCRIPTOR)})
        most, after = page_size(request.page_size), from_page_token(request, str)
        freshness, generation = await self._views.at_least(VIEW, request.consistency_token, context)
        name = types.ProcessStatus.Name(request.status).removeprefix("PROCESS_STATUS_")
        where = {"status": name} if request.status else {}
        keys = {} if after is None else {"$gt": after[0]}
        rows = await self._views.answered(self._views.find.by_key(VIEW, generation, where, keys, most + 1))
        page, more = rows[:most], len(rows) > most
        return pb.ListProcessesResponse(
            processes=[replies.process(row) for row in page],
            next_page_token=to_page_token(request, [page[-1]["_id"]]) if more else "",
            freshness=freshness,
        )
