"""An e-mail address: whose it is. One stream per address makes it unique."""

from server.domain.decider import Decider
from server.domain.email.commands import EmailCommand
from server.domain.email.decide import decide
from server.domain.email.events import EmailEvent
from server.domain.email.state import EmailState, Free, evolve

EMAIL: Decider[EmailState, EmailCommand, EmailEvent] = Decider(
    category="useremail", initial=Free(), decide=decide, evolve=evolve
)
