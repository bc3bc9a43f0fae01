"""Every RPC and every role, through the guard that every process has: refused before anything is done."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import hypothesis
import pytest
import structlog
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from hypothesis import strategies as st
from structlog.testing import capture_logs

from core.config import Settings, WrongSettingError
from core.rpc.call_guard import CallGuard, CallLimits
from core.rpc.reflection import enable_reflection
from core.security.access import ROLES, methods_of, policy_of
from core.security.contract import SERVICES
from core.security.ports import ports_of
from core.security.principal import CALLER
from protos.orders.v1 import commands_pb2 as orders
from tests.support.calling import refusal_of
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.unit.security.test_tokens import AUDIENCE, ISSUER, WRONG, jwks, token

LIMITS = CallLimits(default_deadline=10, max_deadline=60, max_calls=1_000, max_request_size=2**18)
METHODS = {f"/{method.containing_service.full_name}/{method.name}": method for method in methods_of(SERVICES)}
POLICY = policy_of(SERVICES)
WITHIN = 20.0  # seconds
WORKLOAD = "spiffe://shop.example/console"


class Spy:
    """All services of the contract; each call that gets as far is counted, by method and caller."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.changes: asyncio.Queue[None] | None = None  # what a stream sends after its first message; None: it ends

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        found: dict[str, dict[str, Any]] = {}
        for path, method in METHODS.items():
            found.setdefault(method.containing_service.full_name, {})[method.name] = self._handler(path, method)
        return [grpc.method_handlers_generic_handler(service, methods) for service, methods in found.items()]

    def _handler(self, path: str, method: Any) -> Any:
        request, reply = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        how: Any = {"request_deserializer": request.FromString, "response_serializer": reply.SerializeToString}

        def count() -> Any:
            caller = CALLER.get()
            self.calls[path, caller.name if caller else ""] += 1
            return reply()

        async def unary(_request: Any, _context: Any) -> Any:
            return count()

        async def stream(_request: Any, _context: Any) -> AsyncIterator[Any]:
            yield count()
            while self.changes is not None:
                await self.changes.get()
                yield reply()

        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, **how)
        return grpc.unary_unary_rpc_method_handler(unary, **how)


def key_of(name: str) -> str:
    return f"osk_{name}"


def write_keys(file: Path, **roles: list[str]) -> Path:
    """One key for each name."""
    entries = [
        f'[[keys]]\nname = "{name}"\nroles = {json.dumps(of)}\ncustomer_id = "{name}"\n'
        f'sha256 = "{hashlib.sha256(key_of(name).encode()).hexdigest()}"\n'
        for name, of in roles.items()
    ]
    file.write_text("\n".join(entries))
    return file


@asynccontextmanager
async def serving(settings: Settings, spy: Spy, *, max_calls: int = LIMITS.max_calls) -> AsyncIterator[str]:
    ports = ports_of(settings)
    limits = replace(LIMITS, max_calls=max_calls)
    guard = CallGuard(frozenset(SERVICES), limits, authenticator=ports.authenticator, quotas=ports.quotas)
    server = grpc.aio.server(interceptors=[guard])
    server.add_generic_rpc_handlers(tuple(spy.handlers()))
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    enable_reflection(SERVICES, server)
    port = ports.add(server, 0)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "jwks.json").write_bytes(jwks())
    keys = {role.replace(".", "-"): [role] for role in ROLES}
    return Settings(
        api_keys_file=write_keys(tmp_path / "keys.toml", **keys),
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        jwt_jwks_file=tmp_path / "jwks.json",
        max_ops_per_caller=0,
    )


@pytest.fixture
def spy() -> Spy:
    return Spy()


@pytest.fixture
async def channel(settings: Settings, spy: Spy) -> AsyncIterator[grpc.aio.Channel]:
    async with serving(settings, spy) as address, grpc.aio.insecure_channel(address) as channel:
        yield channel


def request_of(path: str, **fields: Any) -> bytes:
    """A request with these fields, and with a reason if the contract wants one."""
    given = {"reason": "a test"} | fields if POLICY[path].reason else fields
    serialized: bytes = GetMessageClass(METHODS[path].input_type)(**given).SerializeToString()
    return serialized


async def send(channel: grpc.aio.Channel, path: str, request: bytes, *authorization: str) -> None:
    make = channel.unary_stream if METHODS[path].server_streaming else channel.unary_unary
    call: Any = make(path)
    metadata = tuple(("authorization", value) for value in authorization)
    if METHODS[path].server_streaming:
        [_ async for _ in call(request, metadata=metadata, timeout=WITHIN)]
    else:
        await call(request, metadata=metadata, timeout=WITHIN)


async def outcome(channel: grpc.aio.Channel, path: str, *authorization: str, **fields: Any) -> str:
    """The reason of the refusal, or OK."""
    try:
        await send(channel, path, request_of(path, **fields), *authorization)
    except grpc.aio.AioRpcError as error:
        return refusal_of(error).reason
    return "OK"


@pytest.mark.parametrize("role", sorted(ROLES))
async def test_a_role_may_call_what_the_contract_says_and_nothing_else(
    channel: grpc.aio.Channel, spy: Spy, role: str
) -> None:
    name = role.replace(".", "-")
    outcomes = {path: await outcome(channel, path, f"Bearer {key_of(name)}") for path in METHODS}
    allowed = {
        path for path, access in POLICY.items() if role == access.role or (role == "customer" and access.customer)
    }
    assert outcomes == {path: "OK" if path in allowed else "ACCESS_DENIED" for path in METHODS}
    assert spy.calls == Counter({(path, name): 1 for path in allowed})


@pytest.mark.parametrize(
    "shown",
    [
        (),
        ("",),
        ("Basic YW5uOnNlY3JldA==",),
        ("Bearer",),
        ("Bearer osk_unknown",),
        (f"Bearer {key_of('shop-read')}", f"Bearer {key_of('ops-act')}"),
        *((f"Bearer {wrong}",) for what, wrong in WRONG.items() if what != "9 KiB"),
    ],
    ids=["nothing", "empty", "basic", "no token", "unknown key", "two", *(what for what in WRONG if what != "9 KiB")],
)
async def test_nobody_gets_through_to_any_rpc(channel: grpc.aio.Channel, spy: Spy, shown: tuple[str, ...]) -> None:
    outcomes = await asyncio.gather(*(outcome(channel, path, *shown) for path in METHODS))
    assert set(outcomes) == {"UNAUTHENTICATED"}
    assert not spy.calls


NAMES = st.one_of(
    st.sampled_from(["authorization", "x-orderstream-actor", "x-correlation-id", "traceparent", "x-orderstream-retry"]),
    st.from_regex(r"[a-z0-9_.-]{1,20}", fullmatch=True).filter(lambda name: not name.startswith(("grpc-", ":"))),
)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)
VALUES = st.one_of(
    TEXTS, TEXTS.map("Bearer {}".format), TEXTS.map("Bearer osk_{}".format), st.just(f"Bearer {token()}")
)
HEADERS = st.lists(
    st.one_of(
        st.tuples(NAMES.filter(lambda name: not name.endswith("-bin")), VALUES),
        st.tuples(NAMES.map("{}-bin".format), st.binary(max_size=40)),
    ),
    max_size=4,
)


async def test_whatever_metadata_a_call_has_it_is_known_or_refused_as_what_it_is(
    channel: grpc.aio.Channel, spy: Spy
) -> None:
    """Over a connection: what `tests/unit/security/test_authenticator.py` does without one."""
    loop = asyncio.get_running_loop()
    place: Any = channel.unary_unary("/orders.v1.OrderCommandService/PlaceOrder")
    codes: Counter[grpc.StatusCode] = Counter()

    async def send_headers(headers: list[tuple[str, str | bytes]]) -> None:
        try:
            await place(b"", metadata=tuple(headers), timeout=WITHIN)
        except grpc.aio.AioRpcError as error:
            codes[error.code()] += 1

    @hypothesis.settings(max_examples=150, deadline=None, database=None)
    @hypothesis.given(headers=HEADERS)
    def search(headers: list[tuple[str, str | bytes]]) -> None:
        asyncio.run_coroutine_threadsafe(send_headers(headers), loop).result(WITHIN)

    await asyncio.to_thread(search)
    assert set(codes) <= {
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
    }
    assert codes[grpc.StatusCode.UNAUTHENTICATED]
    assert not spy.calls, "ann may not place orders"


async def test_a_token_gets_through_with_its_roles(channel: grpc.aio.Channel, spy: Spy) -> None:
    assert await outcome(channel, "/orders.v1.OrderQueryService/GetOrder", f"bearer {token()}") == "OK"
    assert await outcome(channel, "/orders.v1.OrderCommandService/PlaceOrder", f"bearer {token()}") == "ACCESS_DENIED"
    assert spy.calls == Counter({("/orders.v1.OrderQueryService/GetOrder", "ann"): 1})


async def test_keys_are_given_and_taken_away_while_it_serves(
    settings: Settings, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.security.watched.LOOK_EVERY", 0.0)
    assert settings.api_keys_file is not None
    path = "/orders.v1.OrderQueryService/GetOrder"
    async with serving(settings, spy) as address, grpc.aio.insecure_channel(address) as channel:
        write_keys(settings.api_keys_file, old=["shop.read"], new=["shop.read"])
        assert {await outcome(channel, path, f"Bearer {key_of(name)}") for name in ("old", "new")} == {"OK"}
        for broken in ("garbage", "keys = " + "[" * 5_000):
            settings.api_keys_file.write_text(broken)
            assert await outcome(channel, path, f"Bearer {key_of('old')}") == "OK"
        write_keys(settings.api_keys_file, new=["shop.read"])
        assert await outcome(channel, path, f"Bearer {key_of('old')}") == "UNAUTHENTICATED"
        assert await outcome(channel, path, f"Bearer {key_of('new')}") == "OK"


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ({"other": ["shop.read"]}, "UNAUTHENTICATED"),
        ({"watcher": ["ops.read"]}, "ACCESS_DENIED"),
        ({"watcher": ["customer"]}, "UNAUTHENTICATED"),
    ],
    ids=["taken away", "another role", "only for its own"],
)
async def test_a_watch_ends_when_its_caller_may_not_have_it_any_more(
    settings: Settings, spy: Spy, monkeypatch: pytest.MonkeyPatch, then: dict[str, list[str]], reason: str
) -> None:
    monkeypatch.setattr("core.security.watched.LOOK_EVERY", 0.0)
    monkeypatch.setattr("core.rpc.call_guard.CHECK_CALLER_EVERY", 0.0)
    assert settings.api_keys_file is not None
    write_keys(settings.api_keys_file, watcher=["shop.read"])
    spy.changes = asyncio.Queue()
    async with serving(settings, spy) as address, grpc.aio.insecure_channel(address) as channel:
        open_stream: Any = channel.unary_stream("/orders.v1.OrderQueryService/WatchOrders")
        watch = open_stream(b"", metadata=(("authorization", f"Bearer {key_of('watcher')}"),), timeout=WITHIN)
        await watch.read()
        spy.changes.put_nowait(None)
        await watch.read()  # nothing has changed
        write_keys(settings.api_keys_file, **then)
        spy.changes.put_nowait(None)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await watch.read()
    assert refusal_of(refused.value).reason == reason


async def test_a_client_certificate_is_known_by_its_name(tmp_path: Path, spy: Spy) -> None:
    shop, clients = Authority(), Authority()
    shop.issue(tmp_path / "tls.pem", tmp_path / "tls.key")
    names = tmp_path / "certificates.toml"
    entries = (f'[[certificates]]\nname = "{name}"\nroles = ["ops.read"]\n' for name in ("console.example", WORKLOAD))
    names.write_text("".join(entries))
    closed = Settings(
        tls_certificate=tmp_path / "tls.pem",
        tls_key=tmp_path / "tls.key",
        tls_client_ca=clients.write(tmp_path / "clients.pem"),
        certificate_roles_file=names,
    )
    path = "/operations.v1.ProjectionService/ListActs"
    async with serving(closed, spy) as address:
        for credentials, expected in (
            (clients.client("console.example", trusts=shop), "OK"),
            (clients.client("other.example", trusts=shop), "UNAUTHENTICATED"),
            (clients.workload(WORKLOAD, shop), "OK"),
            (clients.workload(f"{WORKLOAD}/other", shop), "UNAUTHENTICATED"),
        ):
            async with grpc.aio.secure_channel(address, credentials) as channel:
                assert await outcome(channel, path) == expected
    assert spy.calls == Counter({(path, "console.example"): 1, (path, WORKLOAD): 1})


async def test_health_is_open_and_reflection_is_for_operators(channel: grpc.aio.Channel) -> None:
    await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=WITHIN)
    reflect: Any = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")

    async def listed(*metadata: tuple[str, str]) -> list[Any]:
        return [reply async for reply in reflect(iter([b"\x3a\x00"]), metadata=metadata, timeout=WITHIN)]

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await listed()
    assert refusal_of(refused.value).reason == "UNAUTHENTICATED"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await listed(("authorization", f"Bearer {key_of('shop-read')}"))
    assert refusal_of(refused.value).reason == "ACCESS_DENIED"
    assert await listed(("authorization", f"Bearer {key_of('ops-read')}"))


async def test_what_is_no_message_is_refused_like_any_other_call(channel: grpc.aio.Channel, spy: Spy) -> None:
    get_order: Any = channel.unary_unary("/orders.v1.OrderQueryService/GetOrder")
    for metadata, reason in (
        ((), "UNAUTHENTICATED"),
        ((("authorization", f"Bearer {key_of('ops-read')}"),), "ACCESS_DENIED"),
        ((("authorization", f"Bearer {key_of('shop-read')}"),), "FIELD_INVALID"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await get_order(b"\xff", metadata=metadata, timeout=WITHIN)
        assert refusal_of(refused.value).reason == reason
    assert not spy.calls


@pytest.mark.parametrize("reason", ["", " ", "x" * 501, "a\nb"], ids=["none", "spaces", "too long", "two lines"])
@pytest.mark.parametrize("path", sorted(path for path in METHODS if POLICY[path].reason))
async def test_an_act_that_needs_a_reason_is_not_done_without(
    channel: grpc.aio.Channel, spy: Spy, path: str, reason: str
) -> None:
    condition = {POLICY[path].reason_if: True} if POLICY[path].reason_if else {}
    request = request_of(path, reason=reason, **condition)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await send(channel, path, request, f"Bearer {key_of('ops-act')}")
    refusal = refusal_of(refused.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert set(refusal.fields) == {"reason"}
    assert not spy.calls


async def test_nobody_without_the_role_learns_that_a_reason_is_missing(channel: grpc.aio.Channel) -> None:
    pause = "/operations.v1.ProjectionService/PauseProjection"
    assert await outcome(channel, pause, reason="") == "UNAUTHENTICATED"
    assert await outcome(channel, pause, f"Bearer {key_of('ops-read')}", reason="") == "ACCESS_DENIED"


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        ("/operations.v1.ProjectionService/ResumeProjection", {}, "OK"),
        ("/operations.v1.ProjectionService/ResumeProjection", {"reason": "x" * 501}, "FIELD_INVALID"),
        ("/operations.v1.ProjectionService/VerifyProjections", {"reason": ""}, "OK"),
    ],
)
async def test_where_no_reason_is_needed_one_may_be_given(
    channel: grpc.aio.Channel, path: str, fields: dict[str, str], expected: str
) -> None:
    assert await outcome(channel, path, f"Bearer {key_of('ops-act')}", **fields) == expected


async def test_nobody_writes_lines_of_its_own_into_the_log(channel: grpc.aio.Channel) -> None:
    add_note: Any = channel.unary_unary("/orders.v1.OrderCommandService/AddNote")
    request = orders.AddNoteRequest(request_id="x\nerror all is lost\x1b[2J").SerializeToString()
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        with pytest.raises(grpc.aio.AioRpcError):
            await add_note(request, timeout=WITHIN)
        refused = [line for line in logs if line["event"] == "call refused"]
    assert [line["correlation_id"] for line in refused] == [r"'x\nerror all is lost\x1b[2J'"]


async def test_watches_of_health_by_nobody_leave_room_for_calls(settings: Settings, spy: Spy) -> None:
    watch = health_pb2.HealthCheckRequest()
    async with serving(settings, spy, max_calls=5) as address, grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watches: list[Any] = [stub.Watch(watch, timeout=WITHIN) for _ in range(5)]
        for one in watches:
            await one.read()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Watch(watch, timeout=WITHIN).read()
        assert refusal_of(refused.value).reason == "SERVER_BUSY"
        assert await outcome(channel, "/orders.v1.OrderQueryService/GetOrder", f"Bearer {token()}") == "OK"
        watches.pop().cancel()

        async def is_open() -> bool:
            try:
                await stub.Watch(watch, timeout=WITHIN).read()
            except grpc.aio.AioRpcError:
                return False
            return True

        assert await eventually(is_open)


async def test_a_noisy_caller_is_refused_and_a_quiet_one_is_not(settings: Settings, spy: Spy) -> None:
    path, tight = "/orders.v1.OrderQueryService/GetOrder", settings.model_copy(update={"max_reads_per_caller": 20.0})
    async with serving(tight, spy) as address, grpc.aio.insecure_channel(address) as channel:
        noisy = await asyncio.gather(*(outcome(channel, path, f"Bearer {key_of('shop-read')}") for _ in range(200)))
        assert set(noisy) == {"OK", "CALLER_LIMITED"}
        assert await outcome(channel, path, f"Bearer {token()}") == "OK"
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=WITHIN)
    assert spy.calls[path, "shop-read"] == noisy.count("OK")


async def test_an_open_process_asks_nobody(spy: Spy) -> None:
    async with serving(Settings(), spy) as address, grpc.aio.insecure_channel(address) as channel:
        assert await outcome(channel, "/orders.v1.OrderCommandService/PlaceOrder") == "OK"
    assert spy.calls == Counter({("/orders.v1.OrderCommandService/PlaceOrder", ""): 1})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"jwt_issuer": ISSUER}, "ORDERSTREAM_JWT_AUDIENCE: is missing"),
        ({"jwt_audience": AUDIENCE, "jwt_jwks_url": "https://x/y"}, "ORDERSTREAM_JWT_ISSUER: is missing"),
        ({"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}, "JWT_JWKS_URL: is missing"),
        *(
            ({"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks_url": url}, says)
            for url, says in {
                "http://issuer.example/": "https://",
                "file:///etc/passwd": "needs a host",
                "https://": "needs a host",
                "http://localhost:x@issuer.example/": "without a name or password",
                "https://name:password@issuer.example/": "without a name or password",
            }.items()
        ),
        ({"api_keys_file": "/not/there"}, "ORDERSTREAM_API_KEYS_FILE: cannot read"),
        ({"api_keys_file": "empty"}, r"has no \[\[keys\]\]"),
        ({"api_keys_file": "role"}, "roles of ann must be some of"),
        ({"api_keys_file": "no role"}, "roles of ann must be some of"),
        ({"api_keys_file": "deep"}, "cannot be used: RecursionError"),
        ({"api_keys_file": "process"}, "is not a name for a caller"),
        ({"api_keys_file": "spaces"}, "is not a name for a caller"),
        ({"certificate_roles_file": "empty"}, "ORDERSTREAM_TLS_CLIENT_CA: is missing"),
    ],
)
@pytest.mark.parametrize("switch", [True, False])
def test_half_of_it_never_starts(tmp_path: Path, given: dict[str, Any], says: str, switch: bool) -> None:
    entry = '[[keys]]\nname = "{}"\nroles = ["{}"]\nsha256 = "' + "0" * 64 + '"\n'
    for name, content in {
        "empty": "",
        "role": entry.format("ann", "all"),
        "no role": entry.format("ann", "all").replace('["all"]', '[["all"]]'),
        "deep": "keys = " + "[" * 5_000,
        "process": entry.format("process:checkout", "shop.read"),
        "spaces": entry.format(" process:checkout", "shop.read"),
    }.items():
        (tmp_path / name).write_text(content)
    files = {name: tmp_path / value if name.endswith("_file") else value for name, value in given.items()}
    with pytest.raises(WrongSettingError, match=says):
        ports_of(Settings(**files, insecure=switch))
