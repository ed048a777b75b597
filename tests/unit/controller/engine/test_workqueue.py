import threading

from api.meta import ObjectKey
from controller.engine.workqueue import QueueObserver, WorkQueue
from support.hand_clock import HandClock

A, B = ObjectKey("Toy", "default", "a"), ObjectKey("Toy", "default", "b")
NOW = 0.0


def a_queue() -> tuple[WorkQueue, HandClock]:
    clock = HandClock()
    return WorkQueue(clock), clock


def test_keys_come_out_in_the_order_they_came_in():
    queue, _ = a_queue()
    queue.add(B)
    queue.add(A)

    assert [queue.get(NOW), queue.get(NOW)] == [B, A]


def test_a_key_that_waits_is_there_once():
    queue, _ = a_queue()
    queue.add(A)
    queue.add(A)

    assert len(queue) == 1
    assert [queue.get(NOW), queue.get(NOW)] == [A, None]


def test_a_key_added_while_a_worker_has_it_is_not_given_to_another():
    queue, _ = a_queue()
    queue.add(A)
    queue.get(NOW)

    queue.add(A)

    assert queue.get(NOW) is None


def test_a_key_added_while_a_worker_has_it_comes_back_once_that_one_is_done():
    queue, _ = a_queue()
    queue.add(A)
    queue.get(NOW)
    queue.add(A)
    queue.add(A)

    queue.done(A)

    assert [queue.get(NOW), queue.get(NOW)] == [A, None]


def test_a_key_that_is_done_and_was_not_added_does_not_come_back():
    queue, _ = a_queue()
    queue.add(A)
    queue.get(NOW)

    queue.done(A)

    assert queue.get(NOW) is None


def test_a_key_for_later_comes_when_its_time_has_come_and_not_before():
    queue, clock = a_queue()
    queue.add_after(A, 10.0)

    clock.advance(9.9)
    before = queue.get(NOW)
    clock.advance(0.1)

    assert (before, queue.get(NOW)) == (None, A)


def test_of_several_wishes_for_later_the_earliest_counts_and_the_others_are_void():
    queue, clock = a_queue()
    queue.add_after(A, 30.0)
    queue.add_after(A, 10.0)
    queue.add_after(A, 20.0)

    clock.advance(10.0)
    first = queue.get(NOW)
    queue.done(A)
    clock.advance(60.0)

    assert (first, queue.get(NOW)) == (A, None)


def test_a_change_does_not_wait_for_the_backoff():
    queue, _ = a_queue()
    queue.add_after(A, 60.0)

    queue.add(A)

    assert queue.get(NOW) == A


def test_later_than_now_by_nothing_is_now():
    queue, _ = a_queue()

    queue.add_after(A, 0.0)

    assert queue.get(NOW) == A


def test_keys_whose_time_has_come_come_in_the_order_of_their_times():
    queue, clock = a_queue()
    queue.add_after(A, 2.0)
    queue.add_after(B, 1.0)

    clock.advance(5.0)

    assert [queue.get(NOW), queue.get(NOW)] == [B, A]


def test_a_closed_queue_takes_and_gives_nothing():
    queue, _ = a_queue()
    queue.add(A)

    queue.close()
    queue.add(B)
    queue.add_after(B, 1.0)

    assert queue.get() is None


def test_a_draining_queue_gives_what_is_in_it_and_then_nothing():
    queue, _ = a_queue()
    queue.add(A)
    queue.add_after(B, 1.0)

    queue.close(drain=True)

    assert [queue.get(), queue.get()] == [A, None]


def test_a_key_may_be_given_back_to_a_closed_queue():
    queue, _ = a_queue()
    queue.add(A)
    queue.get(NOW)
    queue.add(A)
    queue.close()

    queue.done(A)

    assert queue.get() is None


def test_a_waiting_worker_gets_a_key_that_comes_later():
    queue, _ = a_queue()
    got: list[ObjectKey | None] = []
    worker = threading.Thread(target=lambda: got.append(queue.get()))
    worker.start()

    queue.add(A)
    worker.join(10)

    assert got == [A]


def test_waiting_workers_leave_when_the_queue_closes():
    queue, _ = a_queue()
    workers = [threading.Thread(target=queue.get) for _ in range(3)]
    for worker in workers:
        worker.start()

    queue.close()
    for worker in workers:
        worker.join(10)

    assert not any(worker.is_alive() for worker in workers)


def test_a_waiting_worker_looks_at_the_clock_again_when_woken():
    queue, clock = a_queue()
    queue.add_after(A, 3600.0)
    got: list[ObjectKey | None] = []
    worker = threading.Thread(target=lambda: got.append(queue.get()))
    worker.start()

    clock.advance(3600.0)
    queue.wake()
    worker.join(10)

    assert got == [A]


def test_two_workers_get_two_keys_whose_time_came_together():
    queue, clock = a_queue()
    queue.add_after(A, 5.0)
    queue.add_after(B, 5.0)
    got: list[ObjectKey | None] = []
    workers = [threading.Thread(target=lambda: got.append(queue.get())) for _ in range(2)]
    for worker in workers:
        worker.start()

    clock.advance(5.0)
    queue.wake()
    for worker in workers:
        worker.join(10)

    assert sorted(key for key in got if key) == [A, B]


class Noted(QueueObserver):
    def __init__(self) -> None:
        self.notes: list[tuple[str, float]] = []

    def added(self) -> None:
        self.notes.append(("added", 0.0))

    def taken(self, waited_seconds: float) -> None:
        self.notes.append(("taken", waited_seconds))

    def finished(self, worked_seconds: float) -> None:
        self.notes.append(("finished", worked_seconds))

    def retried(self) -> None:
        self.notes.append(("retried", 0.0))


def test_an_observer_is_told_of_waits_and_work_in_seconds():
    clock, noted = HandClock(), Noted()
    queue = WorkQueue(clock, noted)

    queue.add(A)
    queue.add(A)
    clock.advance(2.0)
    queue.get(NOW)
    clock.advance(3.0)
    queue.done(A)
    queue.add_after(A, 1.0)

    assert noted.notes == [("added", 0.0), ("taken", 2.0), ("finished", 3.0), ("retried", 0.0)]


def test_unfinished_work_is_all_of_it_and_the_longest():
    queue, clock = a_queue()
    queue.add(A)
    queue.add(B)
    queue.get(NOW)
    clock.advance(2.0)
    queue.get(NOW)
    clock.advance(1.0)

    assert queue.unfinished_seconds() == 4.0
    assert queue.longest_seconds() == 3.0


def test_a_rest_lasts_until_it_is_over_or_the_queue_is_closed():
    queue, _ = a_queue()
    resting = threading.Thread(target=queue.rest, args=(3600.0,))

    queue.rest(0.001)
    resting.start()
    resting.join(0.02)
    rests = resting.is_alive()
    queue.close()
    resting.join(30.0)

    assert (rests, resting.is_alive()) == (True, False)


def test_the_key_that_is_longest_due_says_how_late_the_queue_is():
    queue, clock = a_queue()
    none = queue.overdue_seconds()
    queue.add(A)
    clock.advance(2.0)
    queue.add(B)

    late = queue.overdue_seconds()
    queue.get(NOW)

    assert (none, late, queue.overdue_seconds()) == (0.0, 2.0, 0.0)
