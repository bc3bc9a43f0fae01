"""A simulated payment provider: it holds no money, and fails by configured rules, deterministically.

The rules are part of the setting, as in `simulator?decline=13&down=20&seed=7`:

decline=CC            authorisations of amounts whose last two digits are CC are declined
refuse=CC             captures of amounts whose last two digits are CC are refused
mute=CC               authorisations of amounts whose last two digits are CC are never answered, and not carried out
lost=PERCENT          of the first calls under a key: carried out, but the answer is lost
down=PERCENT          of the first calls under a key: not carried out, and no answer
late=PERCENT          of the authorisations: no answer to the first call; it is carried out and reported afterwards
refund_fails=PERCENT  of the refunds: they are declined, for ever under that key; another key may succeed
refund_fails_on=N     refunds whose key ends in the number N: they are declined, for ever under that key
lapse=PERCENT         of the authorisations: withdrawn soon afterwards, and that is reported once
twice=PERCENT         of the authorisations: the answer is reported once more
slow=MS               every answer takes so many milliseconds
seed=N                another choice of the affected calls

The affected calls are drawn from their keys, so a schedule can be repeated. The simulator keeps its state in memory
only: after a restart it answers known keys as before, since answers depend on keys and amounts only.
"""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from core.config import WrongSettingError
from core.domain.money import Money
from server.processes.payments.port import Answered, Approved, Declined, Lapsed, ProviderUnavailable

NAME = "simulator"
LAPSES_AFTER = 0.05  # seconds
WITHDRAWN = "the simulator withdraws it"


@dataclass(frozen=True, slots=True)
class Rules:
    decline: int = -1
    refuse: int = -1
    mute: int = -1
    lost: int = 0
    down: int = 0
    late: int = 0
    refund_fails: int = 0
    refund_fails_on: int = -1
    lapse: int = 0
    twice: int = 0
    slow: int = 0
    seed: int = 0


@dataclass(slots=True)
class Held:
    amount: Money
    captured: int = 0
    voided: bool = False
    lapsed: bool = False

    @property
    def left(self) -> int:
        """What can still be drawn."""
        return 0 if self.voided or self.lapsed else max(0, self.amount.amount_minor - self.captured)


@dataclass(slots=True)
class Books:
    """The books of the provider, by key."""

    authorised: dict[str, Held] = field(default_factory=dict)
    captured: dict[str, Money] = field(default_factory=dict)
    drawn_from: dict[str, str] = field(default_factory=dict)  # capture → authorisation
    refunded: dict[str, Money] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """The amount that is neither drawn nor released."""
        return sum(x.left for x in self.authorised.values())


class Simulator:
    """The provider. `books` are open for tests and checks."""

    def __init__(self, rules: Rules) -> None:
        self.books = Books()
        self._rules = rules
        self._calls: Counter[str] = Counter()
        self._answered: Answered | None = None
        self._delivery: set[asyncio.Task[None]] = set()

    def listen(self, answered: Answered) -> None:
        self._answered = answered

    async def authorise(self, key: str, amount: Money) -> Approved | Declined | Lapsed:
        first = await self._meet("authorise", key)
        known = self.books.authorised.get(key)
        if amount.amount_minor % 100 == self._rules.mute:
            self._no_answer("authorise", key)
        if known is None and amount.amount_minor % 100 == self._rules.decline:
            return Declined("the simulator declines this amount")
        if known is None and first and self._drawn("late", key) < self._rules.late:
            self._deliver(self._arrive(key, amount))
            self._no_answer("authorise", key)
        if known is None:
            known = self.books.authorised[key] = Held(amount)
            if self._drawn("lapse", key) < self._rules.lapse:
                self._deliver(self._lapse_soon(key))
        self._answer("authorise", key, first=first)
        if known.lapsed:
            return Lapsed(known.amount, WITHDRAWN)
        answer = Declined("it was voided before") if known.voided else Approved(known.amount)
        if first and self._answered is not None and self._drawn("twice", key) < self._rules.twice:
            self._deliver(self._answered(key, answer))
        return answer

    async def void(self, key: str) -> None:
        first = await self._meet("void", key)
        nothing = Held(
            Money(amount_minor=0, currency="")
        )  # keeps the key, so that an authorisation under way is too late
        self.books.authorised.setdefault(key, nothing).voided = True
        self._answer("void", key, first=first)

    async def capture(self, key: str, authorisation: str, amount: Money) -> Approved | Declined | Lapsed:
        first = await self._meet("capture", key)
        if amount.amount_minor % 100 == self._rules.refuse:
            return Declined("the simulator refuses this amount")
        # an unknown one is from before a restart: it cannot be checked
        held = self.books.authorised.setdefault(authorisation, Held(amount))
        if key not in self.books.captured:
            if held.lapsed:
                return Lapsed(held.amount, WITHDRAWN)
            if held.voided:
                return Declined("the authorisation was voided")
            self.books.captured[key] = amount
            self.books.drawn_from[key] = authorisation
            held.captured += amount.amount_minor
        self._answer("capture", key, first=first)
        drawn_from = self.books.drawn_from[key]
        return Approved(self.books.captured[key], "" if drawn_from == authorisation else drawn_from)

    async def refund(self, key: str, amount: Money) -> Approved | Declined:
        first = await self._meet("refund", key)
        if (
            _number_of(key) == self._rules.refund_fails_on
            or self._drawn("refund_fails", key) < self._rules.refund_fails
        ):
            return Declined("the simulator refuses this refund")
        given = self.books.refunded.setdefault(key, amount)
        self._answer("refund", key, first=first)
        return Approved(given)

    async def _arrive(self, key: str, amount: Money) -> None:
        """Complete a late authorisation, unless it was voided meanwhile."""
        held = self.books.authorised.setdefault(key, Held(amount))
        if self._answered is not None and not held.voided:
            await self._answered(key, Approved(held.amount))

    async def _lapse_soon(self, key: str) -> None:
        await asyncio.sleep(LAPSES_AFTER)
        lapsed = self.lapse(key)
        if self._answered is not None and lapsed is not None:
            await self._answered(key, lapsed)

    def lapse(self, key: str) -> Lapsed | None:
        """Withdraw the amount held under a key; None if there is none."""
        held = self.books.authorised.get(key)
        if held is None or not held.left:
            return None
        held.lapsed = True
        return Lapsed(held.amount, WITHDRAWN)

    def _deliver(self, delivery: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(delivery)
        self._delivery.add(task)
        task.add_done_callback(self._delivery.discard)

    async def _meet(self, call: str, key: str) -> bool:
        """Whether it is the first call of its kind under this key."""
        if self._rules.slow:
            await asyncio.sleep(self._rules.slow / 1000)
        self._calls[f"{call}:{key}"] += 1
        first = self._calls[f"{call}:{key}"] == 1
        if first and self._drawn(f"down:{call}", key) < self._rules.down:
            self._no_answer(call, key)
        return first

    def _answer(self, call: str, key: str, *, first: bool) -> None:
        if first and self._drawn(f"lost:{call}", key) < self._rules.lost:
            self._no_answer(call, key)

    def _no_answer(self, call: str, key: str) -> NoReturn:
        raise ProviderUnavailable(f"the simulator does not answer {call} {key}")

    def _drawn(self, what: str, key: str) -> int:
        """0 to 99, always the same for the same call."""
        drawn = hashlib.sha256(f"{self._rules.seed}:{what}:{key}".encode()).digest()
        return int.from_bytes(drawn[:8]) % 100


def _number_of(key: str) -> int | None:
    """The number at the end of the key: of `o1:refund:r1` 1, of `o1:refund:r1~2` 2."""
    number = re.search(r"\d+$", key)
    return int(number[0]) if number else None


def _wrong(what: str) -> WrongSettingError:
    return WrongSettingError(f"ORDERSTREAM_PAYMENTS: {what}")


def rules_of(setting: str) -> Rules:
    """The rules in a setting. Raises `WrongSettingError`."""
    name, _, query = setting.partition("?")
    if name != NAME:
        raise _wrong(f"there is no payment provider {name!r}; there is only {NAME!r}")
    known = {x.name for x in fields(Rules)}
    given = dict(parse_qsl(query, keep_blank_values=True))
    if wrong := set(given) - known:
        raise _wrong(f"the {NAME} has no rule {', '.join(sorted(wrong))}; it has {', '.join(sorted(known))}")
    if odd := [rule for rule, value in given.items() if not value.isdigit()]:
        raise _wrong(f"the {NAME}'s rule {odd[0]} takes an integer number")
    return Rules(**{rule: int(value) for rule, value in given.items()})
