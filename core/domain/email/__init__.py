"""An e-mail address and its user. One stream per address makes it unique."""

from core.domain.decider import Decider
from core.domain.email.commands import EmailCommand
from core.domain.email.decide import decide
from core.domain.email.events import EmailEvent
from core.domain.email.state import EmailState, Free, evolve

EMAIL: Decider[EmailState, EmailCommand, EmailEvent] = Decider(
    category="useremail", initial=Free(), decide=decide, evolve=evolve
)
