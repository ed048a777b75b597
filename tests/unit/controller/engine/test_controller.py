import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from api.meta import ObjectKey
from controller.engine.clock import SystemClock
from controller.engine.controller import Controller
from controller.engine.errors import TransientError
from controller.engine.metrics import EngineMetrics
from controller.engine.recorder import Recorder
from state.store import Store
from support.toy_kind import Toy, ToyReconciler, a_toy, toy_key, until, with_content

Start = Callable[..., Controller]


@pytest.fixture
def start(store: Store, recorder: Recorder, metrics: EngineMetrics, toys: ToyReconciler) -> Iterator[Start]:
    started: list[Controller] = []

    def go(**options: object) -> Controller:
        controller = Controller(toys, store, SystemClock(), recorder, metrics, **options)
        controller.start()
        started.append(controller)
        return controller

    yield go
    for controller in started:
        assert controller.stop(10)


def content(store: Store, name: str = "ball") -> str | None:
    return (store.get(toy_key(name)) or {}).get("status", {}).get("content")


def test_objects_that_were_there_and_objects_that_come_are_made_so(store: Store, start: Start):
    store.create(a_toy("ball"))
    controller = start()
    until(store, lambda: content(store, "ball") == "red")

    store.create(a_toy("kite", "blue"))

    until(store, lambda: content(store, "kite") == "blue")
    assert controller.is_synced()
    assert controller.is_alive()


def test_a_spec_that_changes_is_followed_and_a_deletion_cleans_up(store: Store, start: Start, toys: ToyReconciler):
    store.create(a_toy())
    start()
    until(store, lambda: content(store) == "red")

    store.update(with_content(store.get(toy_key()), "blue"))
    until(store, lambda: content(store) == "blue")
    store.delete(toy_key())
    until(store, lambda: store.get(toy_key()) is None)

    assert list(toys.directory.iterdir()) == []


def test_its_own_writes_do_not_keep_it_busy(store: Store, start: Start, toys: ToyReconciler):
    store.create(a_toy("ball"))
    start(workers=1)
    until(store, lambda: content(store, "ball") == "red")

    store.create(a_toy("last"))
    until(store, lambda: content(store, "last") == "red")

    assert toys.observations == 4  # Twice each: before and after the step.


def test_a_change_of_another_kind_wakes_the_objects_it_is_mapped_to(store: Store, start: Start, toys: ToyReconciler):
    looked = threading.Event()
    store.create(a_toy())
    start(also=[("Doll", lambda change: [ObjectKey("Toy", "default", "ball")])])
    until(store, lambda: content(store) == "red")
    (toys.directory / "ball").write_text("scratched")
    toys.before_act = lambda toy, step: looked.set()

    store.create(a_toy("anna") | {"kind": "Doll"})

    assert looked.wait(10)


def test_whoever_knows_better_may_have_a_key_looked_at(store: Store, start: Start, toys: ToyReconciler):
    mended = threading.Event()
    store.create(a_toy())
    controller = start()
    until(store, lambda: content(store) == "red")
    (toys.directory / "ball").write_text("scratched")
    toys.before_act = lambda toy, step: mended.set()

    controller.enqueue(toy_key(), after_seconds=0.01)

    assert mended.wait(10)


@pytest.mark.invariant("R3")
def test_never_two_workers_on_one_key(store: Store, start: Start, toys: ToyReconciler):
    inside: Counter[str] = Counter()
    most: Counter[str] = Counter()
    guard = threading.Lock()

    @contextmanager
    def counted(name: str) -> Iterator[None]:
        with guard:
            inside[name] += 1
            most[name] = max(most[name], inside[name])
        yield
        with guard:
            inside[name] -= 1

    class Watched(ToyReconciler):
        def observe(self, obj: Toy) -> str | None:
            with counted(obj.metadata.name):
                return super().observe(obj)

        def act(self, obj: Toy, step: object) -> None:
            with counted(obj.metadata.name):
                super().act(obj, step)

    toys.__class__ = Watched
    names = [f"toy-{number}" for number in range(5)]
    for name in names:
        store.create(a_toy(name, "0"))
    controller = start(workers=8)

    def change(name: str) -> None:
        for number in range(1, 21):
            until(store, partial(try_to_paint, store, name, str(number)))
            controller.enqueue(toy_key(name))

    painters = [threading.Thread(target=change, args=(name,)) for name in names]
    for painter in painters:
        painter.start()
    for painter in painters:
        painter.join(30)

    until(store, lambda: all(content(store, name) == "20" for name in names))
    assert most == dict.fromkeys(names, 1)


def try_to_paint(store: Store, name: str, colour: str) -> bool:
    from api.errors import Conflict

    try:
        store.update(with_content(store.get(toy_key(name)), colour))
    except Conflict:
        return False
    return True


def test_a_pass_that_runs_ends_before_stop_returns_and_no_other_begins(
    store: Store, recorder: Recorder, metrics: EngineMetrics, toys: ToyReconciler
):
    begun, go_on = threading.Event(), threading.Event()

    def wait(toy: Toy, step: object) -> None:
        begun.set()
        assert go_on.wait(10)

    toys.before_act = wait
    store.create(a_toy("ball"))
    store.create(a_toy("kite"))
    controller = Controller(toys, store, SystemClock(), recorder, metrics, workers=1)
    controller.start()
    assert begun.wait(10)

    in_time = controller.stop(timeout_seconds=0.01)
    go_on.set()

    assert not in_time
    assert controller.stop(timeout_seconds=10)
    assert content(store, "ball") == "red"
    assert content(store, "kite") is None


def test_a_controller_that_never_started_can_be_stopped(
    store: Store, recorder: Recorder, metrics: EngineMetrics, toys: ToyReconciler
):
    assert Controller(toys, store, SystemClock(), recorder, metrics).stop()


def test_a_hundred_objects_at_once_all_come_out_right_with_failures_among_them(
    store: Store, start: Start, toys: ToyReconciler
):
    failed: set[str] = set()

    def fail_once(toy: Toy, step: object) -> None:
        name = toy.metadata.name
        if name.endswith("7") and name not in failed:
            failed.add(name)
            raise TransientError("NoPaint", "not yet")

    toys.before_act = fail_once
    names = [f"toy-{number}" for number in range(100)]
    start()
    for name in names:
        store.create(a_toy(name))

    until(store, lambda: all("problem" not in d.get("status", {"problem": ""}) for d in store.list("Toy").items))
    assert sorted(path.name for path in toys.directory.iterdir()) == sorted(names)
    assert len(failed) == 10


def test_what_is_due_waits_for_work(
    store: Store, recorder: Recorder, metrics: EngineMetrics, toys: ToyReconciler
) -> None:
    store.create(a_toy())
    controller = Controller(toys, store, SystemClock(), recorder, metrics)
    controller.watch()
    while not controller.is_synced():
        threading.Event().wait(0.01)
    before, was_alive = content(store), controller.is_alive()

    controller.work()

    until(store, lambda: content(store) is not None)
    assert (before, was_alive, controller.stop(10)) == (None, False, True)
