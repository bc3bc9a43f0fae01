"""A user: who orders."""

from core.domain.decider import Decider
from core.domain.user.commands import UserCommand
from core.domain.user.decide import decide
from core.domain.user.events import UserEvent
from core.domain.user.state import NoUser, UserState, evolve

USER: Decider[UserState, UserCommand, UserEvent] = Decider(
    category="user", initial=NoUser(), decide=decide, evolve=evolve
)
