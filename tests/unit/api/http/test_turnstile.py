"""Turns: so many at once, masters first, the others one after the other whatever each has waiting."""

import asyncio

import pytest

from api.http.turnstile import Room, Turnstile

ROOM = Room(at_once=3, at_once_of_others=2, waiting_of_one=5, waiting=8)


def run(coroutine):
    return asyncio.run(coroutine)


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def take(turnstile, client, order=None, *, is_master=False, seconds=10.0):
    async def waiting():
        turn = await turnstile.take(client, is_master=is_master, seconds=seconds)
        if order is not None and turn is not None:
            order.append(client)
        return turn

    return asyncio.ensure_future(waiting())


@pytest.mark.invariant("P1")
def test_so_many_are_let_in_and_a_place_is_kept_for_masters():
    async def story():
        turnstile = Turnstile(ROOM)
        others = [take(turnstile, "bulk") for _ in range(4)]
        await settle()
        assert [task.done() for task in others] == [True, True, False, False]
        master = take(turnstile, "root", is_master=True)
        await settle()
        assert master.done()
        turnstile.give_back(master.result())
        await settle()
        assert not others[2].done()
        turnstile.give_back(others[0].result())
        await settle()
        assert (others[2].done(), others[3].done()) == (True, False)
        for task in (others[1], others[2]):
            turnstile.give_back(task.result())
        turnstile.give_back(await others[3])

    run(story())


@pytest.mark.invariant("P1")
def test_who_asks_for_much_waits_for_itself_and_not_before_the_others():
    async def story():
        turnstile, order = Turnstile(ROOM), []
        first = [take(turnstile, "bulk") for _ in range(2)]
        waiting = [take(turnstile, "bulk", order) for _ in range(4)] + [take(turnstile, "small", order)]
        await settle()
        for task in first:
            turnstile.give_back(task.result())
            await settle()
        assert order == ["bulk", "small"]
        for _ in range(3):
            turnstile.give_back(next(task for task in waiting if task.done()).result())
            await settle()
        await asyncio.gather(*waiting)

    run(story())


def test_a_master_that_waits_comes_first():
    async def story():
        turnstile, order = Turnstile(Room(at_once=1, at_once_of_others=1)), []
        turn = await turnstile.take("bulk", is_master=False, seconds=1)
        tasks = [take(turnstile, "bulk", order), take(turnstile, "root", order, is_master=True)]
        await settle()
        turnstile.give_back(turn)
        turnstile.give_back(await tasks[1])
        await tasks[0]
        assert order == ["root", "bulk"]

    run(story())


def test_who_is_sent_away_leaves_nothing_that_others_could_stumble_over():
    async def story():
        turnstile = Turnstile(Room(at_once=1, at_once_of_others=1, waiting=1))
        held = await turnstile.take("bulk", is_master=False, seconds=1)
        waiting = take(turnstile, "bulk")
        await settle()
        assert await turnstile.take("third", is_master=False, seconds=60) is None
        turnstile.give_back(held)
        turnstile.give_back(await waiting)
        at_once = take(turnstile, "bulk")
        await settle()
        assert at_once.done()

    run(story())


def test_too_much_that_waits_is_sent_away_at_once_and_too_long_a_wait_ends():
    async def story():
        turnstile = Turnstile(ROOM)
        held = [await turnstile.take("bulk", is_master=False, seconds=1) for _ in range(2)]
        waiting = [take(turnstile, "bulk") for _ in range(5)] + [take(turnstile, "more") for _ in range(3)]
        await settle()
        assert await turnstile.take("bulk", is_master=False, seconds=60) is None
        assert await turnstile.take("third", is_master=False, seconds=60) is None
        waiting[0].cancel()
        await settle()
        assert await turnstile.take("third", is_master=False, seconds=0.01) is None
        for turn in held:
            turnstile.give_back(turn)
        for task in asyncio.as_completed(waiting[1:]):
            turnstile.give_back(await task)

    run(story())


@pytest.mark.invariant("P1")
def test_however_they_come_leave_and_are_cut_off_all_turns_are_there_again_in_the_end():
    async def story():
        turnstile = Turnstile(Room(at_once=4, at_once_of_others=3, waiting_of_one=50, waiting=100))
        running = most = 0

        async def one(number):
            nonlocal running, most
            turn = await turnstile.take(
                f"c{number % 5}", is_master=number % 7 == 0, seconds=0.001 * (number % 4) + 0.0005
            )
            if turn is None:
                return
            running += 1
            most = max(most, running)
            try:
                await asyncio.sleep(0.0005 * (number % 3))
            finally:
                running -= 1
                turnstile.give_back(turn)

        tasks = [asyncio.ensure_future(one(number)) for number in range(300)]
        for number, task in enumerate(tasks):
            await asyncio.sleep(0)
            if number % 11 == 0:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (running, most <= 4) == (0, True)
        again = [await turnstile.take("x", is_master=True, seconds=1) for _ in range(4)]
        assert None not in again

    run(story())
