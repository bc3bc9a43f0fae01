"""The members' views of the cluster after an act, second by second.

Three real nodes of 24.10.14 were measured. L is the leader before, F the next one, G the third; where nothing happens
to the leader, it happens to F. Gaps of the measurement are filled from the rest, and the rows say so.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

Role = Literal["L", "F", "G"]
ROLES: tuple[Role, ...] = ("L", "F", "G")


class Says(NamedTuple):
    """How a member lists L, F and G, and which of them it follows: callers that want the leader are sent there.

    A "=" is the state listed before; a member that had gone before is never listed as living. A member that follows
    none, and is not the leader, is not ready.
    """

    states: str
    leader: Role | None = None


class Step(NamedTuple):
    """`at` seconds after the beginning the members `say` something new, and `ends` ends itself."""

    at: float
    says: Mapping[Role, Says]
    ends: Role | None = None


Timeline: TypeAlias = tuple[Step, ...]

LEADER_ENDED: Timeline = (
    Step(
        0.2,
        {
            "F": Says("Unknown(dead) PreLeader Unknown"),
            "G": Says("Unknown(dead) Leader Follower", "F"),
        },
    ),
    Step(0.8, {"F": Says("Unknown(dead) Leader PreReplica")}),
    Step(4.5, {"F": Says("Unknown(dead) Leader Follower")}),
)
LEADER_RESIGNS: Timeline = (
    Step(0.1, {"L": Says("ResigningLeader Follower Follower")}),
    Step(
        0.9,
        {
            "L": Says("PreReplica PreLeader Follower", "F"),
            "F": Says("PreReplica PreLeader Follower"),
        },
    ),
    Step(
        1.1,
        {
            "L": Says("PreReplica Leader Follower", "F"),
            "F": Says("PreReplica Leader Follower"),
        },
    ),
    Step(
        2.0,
        {
            "L": Says("Follower Leader PreReplica", "F"),
            "F": Says("PreReplica Leader Follower"),
            "G": Says("PreReplica Leader Follower", "F"),
        },
    ),
    Step(
        4.5,
        {
            "L": Says("Follower Leader Follower", "F"),
            "F": Says("Follower Leader Follower"),
            "G": Says("Follower Leader Follower", "F"),
        },
    ),
)
LEADER_HANGS: Timeline = (
    Step(  # that it is noticed then was measured, not what they say of themselves
        2.2,
        {
            "F": Says("Leader PreReplica Follower", "L"),
            "G": Says("Leader Follower PreReplica", "L"),
        },
    ),
    Step(
        4.3,
        {
            "F": Says("Leader(dead) Unknown Unknown"),
            "G": Says("Leader(dead) Unknown Unknown"),
        },
    ),
    Step(
        5.4,
        {
            "F": Says("Unknown(dead) Leader Follower"),
            "G": Says("Unknown(dead) Leader Follower", "F"),
        },
    ),
)
TWO_LEADERS: Timeline = (  # the hung leader goes on after another one was elected
    Step(
        0.0,
        {
            "L": Says("Leader Leader Follower"),
            "F": Says("Leader Leader Follower"),
            "G": Says("Leader Leader Follower", "F"),
        },
    ),
    Step(2.5, {"L": Says("Unknown Leader Follower")}),  # what it took meanwhile is aborted; the moment was not measured
    Step(
        2.7,
        {
            "F": Says("Leader(dead) Leader Follower"),
            "G": Says("Leader(dead) Leader Follower", "F"),
        },
        ends="L",
    ),
)
NO_QUORUM: Timeline = (  # G went before
    Step(0.4, {"F": Says("Leader(dead) Follower Leader(dead)", "L")}),
    Step(1.0, {"F": Says("Leader(dead) PreReplica Leader(dead)", "L")}),
)

# ------------------------------------------------------------------ not measured

JOINS: Timeline = (  # F finds a leader, after its start too
    Step(
        0.5,
        {
            "L": Says("Leader PreReplica Follower"),
            "F": Says("Leader PreReplica Follower", "L"),
            "G": Says("Leader PreReplica Follower", "L"),
        },
    ),
    Step(1.0, {"F": Says("Leader CatchingUp Follower", "L")}),
    Step(1.5, {"F": Says("Leader Follower Follower", "L")}),
    Step(
        2.0,
        {
            "L": Says("Leader Follower Follower"),
            "G": Says("Leader Follower Follower", "L"),
        },
    ),
)
ENDS_AGAIN: Timeline = (Step(0.5, {}, ends="F"),)  # it cuts off what the others never had
FINDS_NO_LEADER: Timeline = (Step(0.5, {"F": Says("Unknown(dead) Unknown Unknown(dead)")}),)
ELECTION: Timeline = (  # of F, by those that run
    Step(0.5, {role: Says("Unknown Unknown Unknown") for role in ROLES}),
    Step(
        1.0,
        {
            "L": Says("Follower Leader Follower", "F"),
            "F": Says("Unknown PreLeader Unknown"),
            "G": Says("Follower Leader Follower", "F"),
        },
    ),
    Step(1.6, {"F": Says("PreReplica Leader PreReplica")}),
    Step(2.0, {"F": Says("Follower Leader Follower")}),
)
FOLLOWER_ENDED: Timeline = (
    Step(
        0.4,
        {
            "L": Says("Leader =(dead) Follower"),
            "G": Says("Leader =(dead) Follower", "L"),
        },
    ),
)
FOLLOWER_HANGS: Timeline = (FOLLOWER_ENDED[0]._replace(at=4.3),)
FOLLOWER_GOES_ON: Timeline = (
    Step(
        0.2,
        {
            "L": Says("Leader Follower Follower"),
            "F": Says("Leader Follower Follower", "L"),
            "G": Says("Leader Follower Follower", "L"),
        },
    ),
)
LEADER_ALONE: Timeline = (Step(0.4, {"L": Says("Unknown =(dead) =(dead)")}),)
FOLLOWERS_HANG: Timeline = (LEADER_ALONE[0]._replace(at=4.3),)
LEADER_HANGS_ALONE: Timeline = (  # G went before
    Step(2.2, {"F": Says("Leader PreReplica Leader(dead)", "L")}),
    Step(4.3, {"F": Says("Leader(dead) PreReplica Leader(dead)", "L")}),
)
LEADER_GOES_ON: Timeline = (
    Step(
        0.2,
        {
            "L": Says("Leader Follower Follower"),
            "F": Says("Leader Follower Follower", "L"),
            "G": Says("Leader Follower Follower", "L"),
        },
    ),
)
NOTHING: Timeline = ()
