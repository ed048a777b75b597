import pytest
from prometheus_client import CollectorRegistry

from api.errors import ServiceUnavailable
from controller.engine.metrics import EngineMetrics
from controller.engine.recorder import EventType, Recorder
from state.store import Store
from support.hand_clock import HandClock
from support.toy_kind import a_toy, until


def a_stored_toy(store: Store, name: str = "ball") -> dict:
    return store.create(a_toy(name))


def events(store: Store) -> list[tuple[str, str, int]]:
    return [(e["reason"], e["message"], e["count"]) for e in store.list("Event").items]


def written(registry: CollectorRegistry, result: str) -> float | None:
    return registry.get_sample_value("runwright_events_total", {"result": result})


def test_an_event_is_written_about_its_object(store: Store, recorder: Recorder):
    toy = a_stored_toy(store)

    recorder.record(toy, EventType.NORMAL, "Painted", "painted it red")
    recorder.flush()

    [event] = store.list("Event").items
    assert event["involvedObject"]["uid"] == toy["metadata"]["uid"]
    assert (event["reason"], event["message"], event["type"]) == ("Painted", "painted it red", "Normal")


def test_what_is_said_again_is_counted_and_not_written_again(store: Store, clock: HandClock, recorder: Recorder):
    toy = a_stored_toy(store)
    for _ in range(3):
        recorder.record(toy, "Warning", "NoPaint", "no")
    recorder.flush()
    clock.advance(300)
    recorder.record(toy, "Warning", "NoPaint", "no")
    recorder.flush()

    [event] = store.list("Event").items
    assert event["count"] == 4
    assert (event["firstTimestamp"], event["lastTimestamp"]) == ("2026-01-02T03:04:05Z", "2026-01-02T03:09:05Z")


def test_a_recorder_after_a_restart_goes_on_counting(store: Store, clock: HandClock, metrics: EngineMetrics):
    toy = a_stored_toy(store)
    for _ in range(2):
        recorder = Recorder(store, clock, metrics.events)
        recorder.record(toy, "Warning", "NoPaint", "no")
        recorder.flush()

    assert events(store) == [("NoPaint", "no", 2)]


def test_an_object_that_says_too_much_is_cut_short_and_others_are_not(
    store: Store, recorder: Recorder, registry: CollectorRegistry
):
    loud, quiet = a_stored_toy(store, "loud"), a_stored_toy(store, "quiet")
    for number in range(30):
        recorder.record(loud, "Normal", "Said", f"number {number}")
    recorder.record(quiet, "Normal", "Said", "hello")
    recorder.flush()

    assert len(events(store)) == 26
    assert ("Said", "hello", 1) in events(store)
    assert written(registry, "dropped") == 5.0


def test_after_a_while_it_may_speak_again(store: Store, clock: HandClock, recorder: Recorder):
    toy = a_stored_toy(store)
    for number in range(30):
        recorder.record(toy, "Normal", "Said", f"number {number}")
    recorder.flush()
    clock.advance(300)

    recorder.record(toy, "Normal", "Said", "the last word")
    recorder.flush()

    assert ("Said", "the last word", 1) in events(store)


def test_memory_is_bounded_however_much_is_said(store: Store, recorder: Recorder, registry: CollectorRegistry):
    for number in range(1500):
        recorder.record(a_toy(f"toy-{number}", uid=str(number)), "Normal", "Said", "hello")
    recorder.flush()

    assert (len(events(store)), written(registry, "dropped")) == (1000, 500.0)


def test_a_store_that_fails_costs_the_event_and_nothing_else(
    clock: HandClock, metrics: EngineMetrics, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
):
    class Failing:
        def get(self, key: object) -> None:
            raise ServiceUnavailable("cannot read the store")

    recorder = Recorder(Failing(), clock, metrics.events)
    recorder.record(a_toy(uid="u"), "Normal", "Said", "hello")

    recorder.flush()

    assert written(registry, "dropped") == 1.0
    assert "cannot record an event" in caplog.text


def test_a_running_recorder_writes_by_itself(store: Store, recorder: Recorder):
    toy = a_stored_toy(store)
    recorder.start()

    recorder.record(toy, "Normal", "Painted", "red")

    until(store, lambda: events(store) == [("Painted", "red", 1)])
    recorder.stop()

    assert events(store) == [("Painted", "red", 1)]


def test_stopping_writes_what_is_pending(store: Store, recorder: Recorder):
    toy = a_stored_toy(store)
    recorder.start()
    recorder.record(toy, "Normal", "Painted", "red")

    recorder.stop()

    assert events(store) == [("Painted", "red", 1)]


def test_what_is_new_is_written_in_one_go_and_what_is_not_is_counted(store: Store, recorder: Recorder):
    toys = [a_stored_toy(store, f"ball-{number}") for number in range(5)]
    recorder.record(toys[0], "Warning", "NoPaint", "no")
    recorder.flush()
    woken: list[int] = []
    unsubscribe = store.subscribe(lambda: woken.append(1))
    for toy in toys:
        recorder.record(toy, "Warning", "NoPaint", "no")
    recorder.flush()
    unsubscribe()

    assert sorted(count for _, _, count in events(store)) == [1, 1, 1, 1, 2]
    assert len(woken) == 2
