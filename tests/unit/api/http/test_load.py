"""How much is asked for at once: what waits for a thread counts, what is over does not."""

import asyncio
import threading

import pytest

from api.http.feed import Threads
from api.http.load import MUCH, Load


def test_calls_count_from_when_they_are_asked_for_and_no_longer_once_they_are_over():
    load, goes_on = Load(), threading.Event()
    seen = []

    async def story():
        threads = Threads(1, load=load)
        calls = [asyncio.ensure_future(threads.call(goes_on.wait)) for _ in range(MUCH)]
        await asyncio.sleep(0)
        seen.append(load.is_much())
        goes_on.set()
        await asyncio.gather(*calls)
        seen.append(load.is_much())

    asyncio.run(story())

    assert seen == [True, False]


def test_one_that_fails_is_over():
    load = Load()
    for _ in range(MUCH):
        with pytest.raises(ValueError, match="no"), load.counted():
            raise ValueError("no")

    assert not load.is_much()


def test_fewer_than_many_are_not_much():
    load, goes_on = Load(), threading.Event()

    async def story():
        threads = Threads(MUCH, load=load)
        calls = [asyncio.ensure_future(threads.call(goes_on.wait)) for _ in range(MUCH - 1)]
        await asyncio.sleep(0)
        is_much = load.is_much()
        goes_on.set()
        await asyncio.gather(*calls)
        return is_much

    assert asyncio.run(story()) is False
