"""UserQueryService."""

from protos.users.v1 import queries_pb2 as pb
from protos.users.v1.queries_pb2_grpc import UserQueryServiceServicer
from server.failures import NotFound
from server.queries import replies
from server.queries.views import Views
from server.rpc.typing import Context
from server.rpc.validation import check, uuid


class UserQueries(UserQueryServiceServicer):
    """Answers about users."""

    def __init__(self, views: Views) -> None:
        self._views = views

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        check(request, {"user_id": uuid})
        freshness, generation = await self._views.at_least("user_detail", request.consistency_token, context)
        found = await self._views.answered(self._views.find.one("user_detail", generation, request.user_id))
        if found is None:
            raise NotFound("USER_NOT_FOUND", user_id=request.user_id)
        return pb.GetUserResponse(user=replies.user(found), freshness=freshness)
