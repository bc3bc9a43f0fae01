"""UserQueryService."""

from contextlib import aclosing
from typing import Any

from core.domain.email import EMAIL
from core.domain.email.normal_form import email_hash
from core.domain.email.state import Claimed, EmailState
from core.eventstore.exclusions import readable
from core.eventstore.log import START, EventLog
from core.failures import InvalidRequest, NotFound
from core.readmodel.email_holders import USERS, EmailHolders
from core.readmodel.views.user_detail import user_detail
from core.rpc.typing import Context
from core.rpc.validation import check, email, optional, sha256, uuid
from core.security.owners import require_own_user
from protos.users.v1 import queries_pb2 as pb
from protos.users.v1.queries_pb2_grpc import UserQueryServiceServicer
from server.queries import mapping
from server.queries.views import Views


class UserQueries(UserQueryServiceServicer):
    """Queries about users."""

    def __init__(self, views: Views, log: EventLog) -> None:
        self._views = views
        self._log = log

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        check(request, {"user_id": uuid})
        require_own_user(request.user_id)
        found = await self._views.one(user_detail, request.user_id, request.consistency_token, context)
        if found.document is None:
            raise NotFound("USER_NOT_FOUND", user_id=request.user_id)
        return pb.GetUserResponse(user=mapping.user(found.document), freshness=found.freshness)

    async def GetEmailHolders(self, request: pb.GetEmailHoldersRequest, _: Context) -> pb.GetEmailHoldersResponse:
        check(request, {"email": optional(email), "email_hash": optional(sha256)})
        if bool(request.email) == bool(request.email_hash):
            raise InvalidRequest({"email": "give either this or email_hash"})
        key = request.email_hash or email_hash(request.email)
        claim, revision = await self._claim(key)  # first: later writes are refused by its revision
        holders = EmailHolders(wanted=lambda one: one == key)
        async with aclosing(self._log.after(START, USERS)) as reading:
            async for event in reading:
                holders.take(event)
        return pb.GetEmailHoldersResponse(
            email_hash=key,
            holders=[mapping.email_holder(one) for one in holders.of(key)],
            claimed_by_user_id=claim.user_id if isinstance(claim, Claimed) else "",
            claim_revision=revision,
        )

    async def _claim(self, key: str) -> tuple[EmailState, int | None]:
        """The state of the stream of an address, and its last revision; None if there is no such stream."""
        events = await self._log.complete_stream(EMAIL.stream(key)) or []
        known: Any = await readable(events, self._log)
        return EMAIL.fold(known), events[-1].stream_position if events else None
