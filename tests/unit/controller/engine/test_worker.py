import errno
import logging
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from api.errors import About, Conflict, Invalid, NotFound
from controller.engine.backoff import Backoff
from controller.engine.errors import Postponed, TransientError
from controller.engine.metrics import EngineMetrics, Outcome
from controller.engine.reconcile import ReconcileLoop
from controller.engine.recorder import Recorder
from controller.engine.worker import MOST_CONFLICTS_AT_ONCE, MOST_OVERDUE_SECONDS, Worker
from controller.engine.workqueue import WorkQueue
from controller.linux.libc import SyscallError
from state.store import Store
from support.hand_clock import HandClock
from support.toy_kind import Toy, ToyReconciler, a_toy, toy_key, with_content

KEY = toy_key()


class Bench:
    """A worker that is driven by hand, and what can be seen of it."""

    def __init__(
        self, store: Store, clock: HandClock, metrics: EngineMetrics, recorder: Recorder, toys: ToyReconciler
    ) -> None:
        self.store, self.clock, self.toys, self.recorder = store, clock, toys, recorder
        self.queue = WorkQueue(clock)
        self._counts = metrics.controller("toy", 1)
        self.worker = self.worker_that(lambda: False)

    def worker_that(self, gives_way: Callable[[], bool]) -> Worker:
        loop, backoff = ReconcileLoop(self.toys, self.store), Backoff(chance=lambda: 0.0)
        return Worker(loop, self.queue, self.clock, self.recorder, self._counts, backoff, gives_way)

    def failing(self, error: Exception, times: int = 1_000_000) -> None:
        left = [error] * min(times, 1000)

        def fail(toy: Toy, step: object) -> None:
            if left:
                raise left.pop()

        self.toys.before_act = fail

    def handle(self) -> Outcome:
        self.queue.add(KEY)
        self.queue.get(0.0)
        try:
            return self.worker.handle(KEY)
        finally:
            self.queue.done(KEY)

    def is_due(self) -> bool:
        return len(self.queue) > 0

    def events(self) -> list[tuple[str, str, str]]:
        self.recorder.flush()
        return [(e["type"], e["reason"], e["message"]) for e in self.store.list("Event").items]


@pytest.fixture
def bench(store: Store, clock: HandClock, metrics: EngineMetrics, recorder: Recorder, toys: ToyReconciler) -> Bench:
    store.create(a_toy())
    return Bench(store, clock, metrics, recorder, toys)


def test_a_pass_that_works_is_a_success_and_asks_for_nothing(bench: Bench):
    assert bench.handle() is Outcome.SUCCESS
    assert not bench.is_due()


def test_a_transient_error_is_told_in_status_and_event_and_tried_again_later(bench: Bench):
    bench.failing(TransientError("NoPaint", "cannot paint ball: the pot is empty: buy more"))

    outcome = bench.handle()
    due_at_once = bench.is_due()
    bench.clock.advance(0.005)

    assert (outcome, due_at_once, bench.queue.get(0.0)) == (Outcome.ERROR, False, KEY)
    assert bench.store.get(KEY)["status"]["problem"] == "NoPaint: cannot paint ball: the pot is empty: buy more"
    assert bench.events() == [("Warning", "NoPaint", "cannot paint ball: the pot is empty: buy more")]


def test_the_wait_grows_with_each_failure_and_success_forgets_it(bench: Bench):
    bench.failing(TransientError("NoPaint", "no"), times=3)
    waits = []
    for _ in range(3):
        bench.handle()
        before = bench.clock.monotonic()
        while bench.queue.get(0.0) is None:
            bench.clock.advance(0.001)
        waits.append(round(bench.clock.monotonic() - before, 3))
        bench.queue.done(KEY)

    assert waits == [0.005, 0.01, 0.02]
    assert bench.handle() is Outcome.SUCCESS
    assert bench.store.get(KEY)["status"] == {"observedGeneration": 1, "content": "red"}


def test_what_has_to_wait_is_no_failure_and_told_once_however_often_it_is_looked_at(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    bench.failing(Postponed("InUse", "1 run has it", 30.0), times=3)

    outcomes = []
    for _ in range(3):
        outcomes.append(bench.handle())
        assert not bench.is_due()
        bench.clock.advance(30)
        assert bench.queue.get(0.0) == KEY
        bench.queue.done(KEY)

    assert outcomes == [Outcome.REQUEUE_AFTER] * 3
    assert bench.store.get(KEY)["status"]["problem"] == "InUse: 1 run has it"
    assert bench.events() == [("Normal", "InUse", "1 run has it")]
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("INFO", "reconcile waits")]
    assert bench.handle() is Outcome.SUCCESS
    bench.store.update(with_content(bench.store.get(KEY), "blue"))
    bench.failing(Postponed("InUse", "1 run has it", 30.0), times=1)
    bench.handle()
    assert len(caplog.records) == 2  # It waits anew, which is news.


def test_an_error_of_the_host_is_transient(bench: Bench):
    bench.failing(OSError(errno.ENOSPC, "No space left on device"))

    assert bench.handle() is Outcome.ERROR
    assert bench.store.get(KEY)["status"]["problem"] == "HostError: [Errno 28] No space left on device"


def test_a_call_that_the_kernel_does_not_have_is_not_tried_again(bench: Bench):
    bench.failing(SyscallError("mount_setattr", "make the tree readonly", errno.ENOSYS))

    bench.handle()

    assert bench.worker.has_given_up(KEY)
    assert bench.store.get(KEY)["status"]["problem"].startswith(
        "HostUnsupported: cannot make the tree readonly: ENOSYS"
    )


def test_a_terminal_error_is_told_and_not_tried_again(bench: Bench):
    bench.store.update(with_content(bench.store.get(KEY), "impossible"))

    outcome = bench.handle()
    bench.clock.advance(10_000)

    assert (outcome, bench.queue.get(0.0), bench.worker.has_given_up(KEY)) == (Outcome.ERROR, None, True)
    assert bench.store.get(KEY)["status"]["problem"].startswith("Impossible: ")


def test_a_terminal_error_is_over_when_the_spec_is_mended(bench: Bench):
    bench.store.update(with_content(bench.store.get(KEY), "impossible"))
    bench.handle()

    bench.store.update(with_content(bench.store.get(KEY), "green"))

    assert bench.handle() is Outcome.SUCCESS
    assert not bench.worker.has_given_up(KEY)


def test_an_object_that_changed_during_the_pass_is_looked_at_again_at_once(bench: Bench):
    def change(toy: Toy, step: object) -> None:
        bench.toys.before_act = lambda toy, step: None
        bench.store.update(with_content(bench.store.get(KEY), "blue"))

    bench.toys.before_act = change

    assert bench.handle() is Outcome.REQUEUE
    assert bench.is_due()
    assert bench.handle() is Outcome.SUCCESS
    assert (bench.toys.directory / "ball").read_text() == "blue"


def test_an_object_that_changes_during_every_pass_backs_off_in_the_end(bench: Bench):
    bench.failing(Conflict("changed"))

    for _ in range(MOST_CONFLICTS_AT_ONCE):
        bench.handle()
        assert bench.is_due()
        bench.queue.done(bench.queue.get(0.0))
    bench.handle()

    assert not bench.is_due()
    bench.clock.advance(0.005)
    assert bench.queue.get(0.0) == KEY


def test_an_object_that_goes_during_the_pass_is_done(bench: Bench):
    def remove(toy: Toy, step: object) -> None:
        stored = bench.store.get(KEY)
        bench.store.update(stored | {"metadata": stored["metadata"] | {"finalizers": []}})
        bench.store.delete(KEY)

    bench.toys.before_act = remove

    assert bench.handle() is Outcome.SUCCESS
    assert not bench.is_due()


@pytest.mark.parametrize(
    "error",
    [NotFound.of(About("runwright.dev", "dolls", "anna")), Invalid("cannot make the doll")],
    ids=["not found", "invalid"],
)
def test_a_refusal_about_another_object_is_transient_under_its_own_reason(bench: Bench, error: Exception):
    bench.failing(error)

    assert bench.handle() is Outcome.ERROR
    assert bench.store.get(KEY)["status"]["problem"].startswith(f"{error.reason}: ")


def test_a_bug_leaves_one_traceback_for_all_its_retries_and_the_thread_alive(
    bench: Bench, caplog: pytest.LogCaptureFixture, registry: CollectorRegistry
):
    bench.failing(ZeroDivisionError("division by zero"))

    with caplog.at_level(logging.ERROR):
        outcomes = [bench.handle(), bench.handle(), bench.handle()]

    assert outcomes == [Outcome.ERROR] * 3
    assert [bool(record.exc_info) for record in caplog.records] == [True, False, False]
    assert caplog.records[0].keys["outcome"] == "bug"
    assert registry.get_sample_value("controller_runtime_reconcile_panics_total", {"controller": "toy"}) == 3.0


def test_an_object_that_cannot_be_read_is_told_in_an_event_and_not_tried_again(bench: Bench):
    bench.store.update(bench.store.get(KEY) | {"spec": {"content": {}}})

    outcome = bench.handle()
    bench.clock.advance(10_000)

    assert (outcome, bench.queue.get(0.0)) == (Outcome.ERROR, None)
    [(type_, reason, message)] = bench.events()
    assert (type_, reason) == ("Warning", "UnreadableObject")
    assert message.startswith("cannot read toy/default/ball from the store: spec.content:")


def test_a_failure_to_report_a_failure_is_logged_and_retried(bench: Bench, caplog: pytest.LogCaptureFixture):
    bench.store.update(with_content(bench.store.get(KEY), "impossible"))

    def report_failure(obj: Toy, error: object) -> object:
        raise ZeroDivisionError

    bench.toys.report_failure = report_failure

    assert bench.handle() is Outcome.ERROR
    bench.clock.advance(60)
    assert bench.queue.get(0.0) == KEY
    assert "cannot store why a reconcile failed" in caplog.text


def test_a_pass_carries_its_keys_on_every_line(bench: Bench, caplog: pytest.LogCaptureFixture):
    from controller.engine.log import JsonFormatter

    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonFormatter().format(record))

    handler = Lines()
    logging.getLogger("controller.engine.worker").addHandler(handler)
    bench.failing(TransientError("NoPaint", "no"))
    try:
        bench.handle()
    finally:
        logging.getLogger("controller.engine.worker").removeHandler(handler)

    assert '"kind": "Toy", "namespace": "default", "name": "ball", "reconcile_id": "' in lines[0]


def test_a_worker_that_gives_way_rests_after_its_pass_and_no_longer_than_the_queue_is_open(
    bench: Bench, registry: CollectorRegistry
):
    def much_is_asked() -> bool:
        bench.queue.close()
        return True

    bench.queue.add(KEY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("controller.engine.worker.REST_SECONDS", 3600.0)
        bench.worker_that(much_is_asked).run()

    assert bench.store.get(KEY)["metadata"]["finalizers"]
    assert registry.get_sample_value("runwright_worker_rests_total", {"controller": "toy"}) == 1


def test_a_worker_that_need_not_give_way_does_not_rest(bench: Bench, registry: CollectorRegistry):
    def little_is_asked() -> bool:
        bench.queue.close()
        return False

    bench.queue.add(KEY)
    bench.worker_that(little_is_asked).run()

    assert registry.get_sample_value("runwright_worker_rests_total", {"controller": "toy"}) == 0


def test_a_worker_does_not_rest_while_a_key_has_waited_too_long(bench: Bench, registry: CollectorRegistry):
    rested_when_left: list[int] = []

    def much_is_asked() -> bool:
        rested_when_left.append(len(bench.queue))
        if not rested_when_left[-1]:
            bench.queue.close()
        return True

    bench.queue.add(KEY)
    bench.queue.add(toy_key("other"))
    bench.clock.advance(MOST_OVERDUE_SECONDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("controller.engine.worker.REST_SECONDS", 3600.0)
        bench.worker_that(much_is_asked).run()

    assert rested_when_left == [1, 0]
    assert registry.get_sample_value("runwright_worker_rests_total", {"controller": "toy"}) == 1
