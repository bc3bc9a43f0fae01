"""Maps user requests to commands."""

from dataclasses import replace

from core.domain.email import EMAIL
from core.domain.email.commands import ResolveEmail
from core.domain.email.state import EmailState
from core.domain.rejection import CommandRejected, Reason
from core.domain.user import USER, commands
from core.domain.user.email import is_changed
from core.domain.user.state import User, UserState
from core.eventstore.idempotency import CommandResult
from core.failures import InvalidRequest
from core.rpc.validation import NEW_EMAIL, REASON, count, sha256, sku, text, uuid
from protos.users.v1 import commands_pb2 as pb
from server.commands.converters import to_address
from server.commands.handler import CommandHandler, Envelope
from server.commands.routes import CommandContext, Row, routes


async def register(
    request: pb.RegisterUserRequest, user_id: str, _: UserState, context: CommandContext
) -> commands.RegisterUser:
    await context.claims.reserve(request.email, user_id)
    return commands.RegisterUser(user_id=user_id, email=request.email, name=request.name, at=context.at)


async def change_email(
    request: pb.ChangeEmailRequest, user_id: str, user: UserState, context: CommandContext
) -> commands.ChangeEmail:
    if isinstance(user, User) and is_changed(user, request.email):
        context.claims.vacate(user.email, user_id)
        await context.claims.reserve(request.email, user_id)
    return commands.ChangeEmail(user_id=user_id, email=request.email, at=context.at)


async def resolve_email(
    request: pb.ResolveEmailRequest, email_hash: str, _: EmailState, context: CommandContext
) -> ResolveEmail:
    named = (request.keep_user_id, *request.other_user_ids)
    if len(set(named)) < len(named):
        raise InvalidRequest({"other_user_ids": "must name each user once, and not the one who keeps the address"})
    return ResolveEmail(
        email_hash=email_hash,
        keep_user_id=request.keep_user_id,
        other_user_ids=tuple(request.other_user_ids),
        holders=await context.claims.holders_among(email_hash, named),
        is_void=await context.claims.is_void(email_hash, besides=named),
        reason=request.reason,
        at=context.at,
    )


async def require_changes(
    request: pb.ResolveEmailRequest, handler: CommandHandler, envelope: Envelope
) -> list[CommandResult]:
    """Runs after the address is claimed for the user who keeps it, so that it is never free meanwhile."""
    results = []
    for user_id in request.other_user_ids:

        async def command(_: UserState, user_id: str = user_id) -> commands.RequireEmailChange:
            return commands.RequireEmailChange(
                user_id=user_id,
                email_hash=request.email_hash,
                kept_by_user_id=request.keep_user_id,
                reason=request.reason,
                at=envelope.at,
            )

        try:
            results.append(await handler.handle(USER, user_id, replace(envelope, expected_revision=None), command))
        except CommandRejected as rejection:
            if rejection.reason is not Reason.EMAIL_NOT_HELD:  # the user has another address by now
                raise
    return results


async def add_address(
    request: pb.AddAddressRequest, user_id: str, _: UserState, context: CommandContext
) -> commands.AddAddress:
    return commands.AddAddress(
        user_id=user_id,
        address_id=request.address_id,
        address=to_address(request.address),
        default=request.is_default,
        at=context.at,
    )


ROUTES = {
    **routes(
        pb,
        USER,
        "user_id",
        {
            "RegisterUser": Row(
                register, id_may_be_empty=True, creates_stream=True, rules={"email": NEW_EMAIL, "name": text(1, 200)}
            ),
            "ChangeEmail": Row(change_email, rules={"email": NEW_EMAIL}),
            "ChangeName": Row(commands.ChangeName, rules={"name": text(1, 200)}),
            "BlockUser": Row(commands.BlockUser, rules={"reason": REASON}),
            "UnblockUser": Row(commands.UnblockUser),
            "AddAddress": Row(add_address, rules={"address_id": sku}, required=("address",)),
            "ChangeAddress": Row(commands.ChangeAddress, rules={"address_id": sku}, required=("address",)),
            "RemoveAddress": Row(commands.RemoveAddress, rules={"address_id": sku}),
            "SetDefaultAddress": Row(commands.SetDefaultAddress, rules={"address_id": sku}),
        },
    ),
    **routes(
        pb,
        EMAIL,
        "email_hash",
        {
            "ResolveEmail": Row(
                resolve_email,
                rules={
                    "email_hash": sha256,
                    "keep_user_id": uuid,
                    "other_user_ids": count(1, 100),
                    "other_user_ids[]": uuid,
                    "reason": REASON,
                },
                follow_up=require_changes,
            )
        },
    ),
}
