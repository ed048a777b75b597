"""Creates that come at the same time: who is made with whom, who is told what, and that nobody waits for ever."""

import asyncio
import threading

import pytest

from api.errors import AlreadyExists
from api.http.creating import MOST_AT_ONCE, Creating
from api.http.feed import Threads
from api.http.load import MUCH, Load
from api.kinds import JOB
from api.objects.creation import Creation, Written
from support.objects import a_job, by, open_verbs


class Held:
    """The verbs, which begin with what they are asked only when they may, and remember what was asked together."""

    def __init__(self, verbs):
        self.verbs = verbs
        self.asked: list[list[str]] = []
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def create_all(self, creations):
        self.asked.append([creation.document["metadata"]["name"] for creation in creations])
        self.begun.set()
        assert self.may_go_on.wait(10)
        return self.verbs.create_all(creations)


@pytest.fixture
def held(tmp_path):
    verbs, store = open_verbs(tmp_path)
    yield Held(verbs)
    store.close()


def a_creation(name):
    return Creation(JOB, "default", a_job(name), by("me"))


async def first_begun(creating, held):
    """Ask for one, and return when it is being made."""
    first = asyncio.ensure_future(creating.create(a_creation("first")))
    await asyncio.to_thread(held.begun.wait, 10)
    return first


def names(outcomes):
    return [outcome.document["metadata"]["name"] for outcome in outcomes if isinstance(outcome, Written)]


def test_who_comes_while_one_is_made_is_made_with_all_who_came_meanwhile(held):
    async def story():
        creating = Creating(held, Threads(4))
        first = await first_begun(creating, held)
        others = [asyncio.ensure_future(creating.create(a_creation(f"j-{number}"))) for number in range(5)]
        await asyncio.sleep(0)
        held.may_go_on.set()
        return await asyncio.gather(first, *others)

    assert names(asyncio.run(story())) == ["first", *(f"j-{number}" for number in range(5))]
    assert held.asked == [["first"], [f"j-{number}" for number in range(5)]]


def test_no_more_than_so_many_are_made_at_once(held):
    held.may_go_on.set()

    async def story():
        creating = Creating(held, Threads(4))
        await asyncio.gather(*(creating.create(a_creation(f"j-{number}")) for number in range(MOST_AT_ONCE + 2)))

    asyncio.run(story())

    assert [len(together) for together in held.asked] == [MOST_AT_ONCE, 2]


def test_each_is_told_of_its_own(held):
    held.may_go_on.set()

    async def story():
        creating = Creating(held, Threads(4))
        asked = [creating.create(a_creation(name)) for name in ("a", "a", "b")]
        return await asyncio.gather(*asked, return_exceptions=True)

    made, refused, last = asyncio.run(story())

    assert names([made, last]) == ["a", "b"]
    assert isinstance(refused, AlreadyExists)


def test_if_nothing_can_be_made_all_are_told_and_the_next_are_made(held, monkeypatch):
    held.may_go_on.set()

    async def story():
        creating = Creating(held, Threads(4))
        monkeypatch.setattr(held, "create_all", lambda _creations: 1 // 0)
        failed = await asyncio.gather(*(creating.create(a_creation(n)) for n in "ab"), return_exceptions=True)
        monkeypatch.undo()
        return failed, await creating.create(a_creation("c"))

    failed, made = asyncio.run(story())

    assert [type(error) for error in failed] == [ZeroDivisionError] * 2
    assert names([made]) == ["c"]


class Worse(BaseException):
    """What no code of ours raises, and a library's might."""


@pytest.mark.parametrize("error", [StopIteration("odd"), Worse("odd")])
def test_whatever_becomes_of_one_nobody_waits_for_ever(held, monkeypatch, error):
    held.may_go_on.set()

    async def story():
        creating = Creating(held, Threads(4))
        monkeypatch.setattr(held, "create_all", lambda creations: [error] * len(creations))
        odd = await asyncio.gather(*(creating.create(a_creation(n)) for n in "ab"), return_exceptions=True)

        def fails(_creations):
            raise error

        monkeypatch.setattr(held, "create_all", fails)
        failed = await asyncio.gather(*(creating.create(a_creation(n)) for n in "ab"), return_exceptions=True)
        monkeypatch.undo()
        return odd + failed, await creating.create(a_creation("c"))

    failed, made = asyncio.run(story())

    assert [type(each) for each in failed] == [RuntimeError] * 4
    assert names([made]) == ["c"]


def test_one_that_has_to_be_made_alone_holds_nobody_up(held, monkeypatch):
    held.may_go_on.set()
    goes_on = threading.Event()

    def alone():
        assert goes_on.wait(10)
        return held.verbs.create(*a_creation("alone"))

    def create_all(creations):
        apart = {"alone": alone}
        return [apart.get(each.document["metadata"]["name"]) or held.verbs.create_all([each])[0] for each in creations]

    async def story():
        creating = Creating(held, Threads(4))
        monkeypatch.setattr(held, "create_all", create_all)
        slow = asyncio.ensure_future(creating.create(a_creation("alone")))
        others = await asyncio.gather(*(creating.create(a_creation(n)) for n in "ab"))
        goes_on.set()
        return [*others, await slow]

    assert names(asyncio.run(story())) == ["a", "b", "alone"]


def test_who_gives_up_holds_nobody_up_and_what_was_not_begun_is_not_made(held):
    async def story():
        creating = Creating(held, Threads(4))
        first = await first_begun(creating, held)
        gone, other = (asyncio.ensure_future(creating.create(a_creation(name))) for name in ("gone", "other"))
        await asyncio.sleep(0)
        first.cancel()
        gone.cancel()
        await asyncio.sleep(0)
        held.may_go_on.set()
        return await other, await creating.create(a_creation("next"))

    assert names(asyncio.run(story())) == ["other", "next"]
    assert held.asked == [["first"], ["other"], ["next"]]


def test_who_waits_counts(held):
    load = Load()

    async def story():
        creating = Creating(held, Threads(4, load=load))
        waiting = [asyncio.ensure_future(creating.create(a_creation(f"j-{number}"))) for number in range(MUCH)]
        await asyncio.to_thread(held.begun.wait, 10)
        is_much = load.is_much()
        held.may_go_on.set()
        await asyncio.gather(*waiting)
        return is_much

    assert asyncio.run(story())
    assert not load.is_much()
