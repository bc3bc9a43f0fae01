"""The acts of a cluster over HTTP, for tests in any language.

    GET  /                                          the states of the members, and the leader
    POST /members/0/kill|hang|resume|start          and 1, 2
    POST /resign /two-leaders /lose-quorum /restore-quorum
    POST /settled                                   waits until all reactions to the acts so far have happened

Each is answered when it is done, with the same JSON as `GET /`; 409 with an `error` if it is impossible now.
"""

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from http import HTTPStatus

from embedded.eventstore.cluster import Cluster
from embedded.eventstore.errors import ActError
from embedded.eventstore.http import READING, Answer, Route, http
from embedded.eventstore.members.member import SIZE


def control(cluster: Cluster, host: str, port: int) -> AbstractAsyncContextManager[str]:
    """Take acts until this is left; yields the bound `host:port`. Raises `PortError` for a taken port."""

    def answer(status: HTTPStatus, **more: str) -> Answer:
        members = [
            {"address": address, "state": state}
            for address, state in zip(cluster.addresses, cluster.states, strict=True)
        ]
        return Answer(status, json.dumps({"leader": cluster.leader, "members": members} | more).encode())

    async def report(_: str) -> Answer:
        return answer(HTTPStatus.OK)

    def doing(act: Callable[[], Awaitable[None]]) -> Route:
        async def do(_: str) -> Answer:
            try:
                await act()
            except ActError as error:
                return answer(HTTPStatus.CONFLICT, error=str(error))
            return answer(HTTPStatus.OK)

        return Route(("POST",), do)

    of_one = {"kill": cluster.kill, "hang": cluster.hang, "resume": cluster.resume, "start": cluster.start}
    of_all = {
        "resign": cluster.resign,
        "two-leaders": cluster.two_leaders,
        "lose-quorum": cluster.lose_quorum,
        "restore-quorum": cluster.restore_quorum,
        "settled": cluster.settled,
    }
    routes = {"": Route(READING, report)}
    routes |= {f"/{name}": doing(act) for name, act in of_all.items()}
    routes |= {f"/members/{n}/{name}": doing(partial(act, n)) for n in range(SIZE) for name, act in of_one.items()}
    return http(host, port, routes, option="--control-port")
