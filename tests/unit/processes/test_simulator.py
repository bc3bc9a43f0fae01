"""The payment simulator: it keeps what the port says, and misbehaves by stated rules only."""

import asyncio
from collections.abc import Awaitable

import pytest

from core.config import WrongSettingError
from core.domain.money import Money
from server.processes.payments.port import Approved, Declined, Lapsed, ProviderUnavailable
from server.processes.payments.simulator import Rules, Simulator, rules_of
from tests.support.orders import euros


async def answer(call: Awaitable[Approved | Declined | Lapsed] | Awaitable[Approved | Declined]) -> str:
    try:
        return type(await call).__name__
    except ProviderUnavailable:
        return "nothing"


async def test_a_key_is_one_payment_for_ever() -> None:
    provider = Simulator(Rules())
    assert (
        await provider.authorise("k", euros(700)) == await provider.authorise("k", euros(900)) == Approved(euros(700))
    )
    assert provider.books.held == 700


async def test_after_a_void_nothing_is_held_and_nothing_will_be() -> None:
    provider = Simulator(Rules())
    await provider.authorise("k", euros(700))
    await provider.void("k")
    await provider.void("before")
    assert await answer(provider.authorise("k", euros(700))) == "Declined"
    assert await answer(provider.authorise("before", euros(700))) == "Declined"
    assert await answer(provider.capture("c", "k", euros(700))) == "Declined"
    assert provider.books.held == 0


async def test_what_was_drawn_once_is_not_drawn_again() -> None:
    provider = Simulator(Rules())
    await provider.authorise("k", euros(700))
    for _ in range(2):
        assert await provider.capture("c", "k", euros(300)) == Approved(euros(300))
    assert provider.books.authorised["k"].captured == 300
    assert await provider.refund("r", euros(100)) == await provider.refund("r", euros(200)) == Approved(euros(100))


@pytest.mark.parametrize(
    ("rules", "answers"),
    [
        (Rules(decline=13), ["Declined", "Declined"]),
        (Rules(mute=13), ["nothing", "nothing"]),
        (Rules(down=100), ["nothing", "Approved"]),
        (Rules(lost=100), ["nothing", "Approved"]),
        (Rules(slow=1), ["Approved", "Approved"]),
    ],
)
async def test_rules_say_how_it_misbehaves(rules: Rules, answers: list[str]) -> None:
    provider = Simulator(rules)
    assert [await answer(provider.authorise("k", euros(713))) for _ in answers] == answers


async def test_a_refund_that_is_declined_stays_so_and_another_key_may_succeed() -> None:
    provider = Simulator(Rules(refund_fails=50))
    twice = [[await answer(provider.refund(f"k{n}", euros(100))) for n in range(40)] for _ in range(2)]
    assert twice[0] == twice[1]
    assert set(twice[0]) == {"Declined", "Approved"}
    assert len(provider.books.refunded) == twice[0].count("Approved")


async def test_refunds_fail_by_the_number_that_their_key_ends_in() -> None:
    provider = Simulator(rules_of("simulator?refund_fails_on=1"))
    answers = {key: await answer(provider.refund(key, euros(100))) for key in ("r-1", "r-1~2", "r-11", "r-2", "all")}
    assert answers == dict.fromkeys(answers, "Approved") | {"r-1": "Declined"}
    assert set(provider.books.refunded) == set(answers) - {"r-1"}


async def test_a_void_lets_the_rest_go_and_what_was_drawn_stays_drawn() -> None:
    provider = Simulator(Rules())
    await provider.authorise("k", euros(700))
    await provider.capture("c", "k", euros(300))
    assert provider.books.held == 400
    await provider.void("k")
    assert provider.books.held == 0
    assert await answer(provider.capture("d", "k", euros(1))) == "Declined"
    assert await provider.capture("c", "k", euros(300)) == Approved(euros(300)), "a key gets its first answer for ever"


async def test_an_authorisation_that_is_withdrawn_is_reported_once_and_says_so_when_it_is_asked() -> None:
    reports: asyncio.Queue[tuple[str, Approved | Declined | Lapsed]] = asyncio.Queue()

    async def listen(key: str, what: Approved | Declined | Lapsed) -> None:
        await reports.put((key, what))

    provider = Simulator(Rules(lapse=100))
    provider.listen(listen)
    assert await provider.authorise("k", euros(700)) == Approved(euros(700))
    key, lapsed = await asyncio.wait_for(reports.get(), 5)
    assert isinstance(lapsed, Lapsed)
    assert (key, lapsed.amount) == ("k", euros(700))
    assert provider.books.held == 0
    assert await provider.authorise("k", euros(700)) == lapsed
    assert await provider.capture("c", "k", euros(300)) == lapsed
    assert reports.empty()


async def test_what_was_drawn_before_it_was_withdrawn_says_what_it_was_drawn_from() -> None:
    provider = Simulator(Rules())
    await provider.authorise("k", euros(700))
    await provider.authorise("k~2", euros(700))
    await provider.capture("c", "k", euros(300))
    provider.lapse("k")
    assert await provider.capture("c", "k~2", euros(300)) == Approved(euros(300), drawn_from="k")
    assert provider.books.held == 700


async def test_a_lost_answer_was_done_and_a_call_while_it_is_down_was_not() -> None:
    lost, down = Simulator(Rules(lost=100)), Simulator(Rules(down=100))
    assert [await answer(x.authorise("k", euros(700))) for x in (lost, down)] == ["nothing", "nothing"]
    assert (lost.books.held, down.books.held) == (700, 0)


async def test_late_and_repeated_answers_are_reported() -> None:
    reported: asyncio.Queue[tuple[str, Approved | Declined | Lapsed]] = asyncio.Queue()

    async def listen(key: str, what: Approved | Declined | Lapsed) -> None:
        await reported.put((key, what))

    for rules, first in ((Rules(late=100), "nothing"), (Rules(twice=100), "Approved")):
        provider = Simulator(rules)
        provider.listen(listen)
        assert await answer(provider.authorise("k", euros(700))) == first
        assert await asyncio.wait_for(reported.get(), 5) == ("k", Approved(euros(700)))


async def test_misfortune_is_drawn_from_keys_so_it_can_be_repeated() -> None:
    async def life(seed: int) -> list[str]:
        provider = Simulator(Rules(down=50, seed=seed))
        return [await answer(provider.authorise(f"k{n}", euros(700))) for n in range(40)]

    assert await life(1) == await life(1) != await life(2)
    assert {"nothing", "Approved"} == set(await life(1))


def test_a_setting_says_the_rules() -> None:
    assert rules_of("simulator") == Rules()
    assert rules_of("simulator?decline=13&seed=7") == Rules(decline=13, seed=7)


@pytest.mark.parametrize("setting", ["", "stripe", "simulator?declines=1", "simulator?down=often", "simulator?down"])
def test_a_setting_that_means_nothing_is_refused(setting: str) -> None:
    with pytest.raises(WrongSettingError):
        rules_of(setting)


def test_amounts_are_kept_as_they_are() -> None:
    assert Approved(euros(1)).amount == Money(amount_minor=1, currency="EUR")
