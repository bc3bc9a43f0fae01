"""A user: who orders."""

from server.domain.decider import Decider
from server.domain.user.commands import UserCommand
from server.domain.user.decide import decide
from server.domain.user.events import UserEvent
from server.domain.user.state import NoUser, UserState, evolve

USER: Decider[UserState, UserCommand, UserEvent] = Decider(
    category="user", initial=NoUser(), decide=decide, evolve=evolve
)
