import pytest

from api.errors import Conflict
from controller.engine.errors import TerminalError
from controller.engine.plan import Plan
from controller.engine.reconcile import MOST_PASSES_IN_A_ROW, ReconcileLoop, Result, UnreadableError
from state.store import Store
from support.toy_kind import TOY, Toy, ToyReconciler, ToyStatus, WriteFile, a_toy, toy_key, with_content

FINALIZER = TOY.finalizer


def test_one_pass_makes_it_so_and_reports_what_is_there(store: Store, toys: ToyReconciler):
    store.create(a_toy(content="red"))

    result = ReconcileLoop(toys, store).reconcile(toy_key())

    stored = store.get(toy_key())
    assert result == Result()
    assert (toys.directory / "ball").read_text() == "red"
    assert stored["metadata"]["finalizers"] == [FINALIZER]
    assert stored["status"] == {"observedGeneration": 1, "content": "red"}


@pytest.mark.invariant("R1")
def test_a_second_pass_does_nothing_writes_nothing_and_looks_once(store: Store, toys: ToyReconciler):
    store.create(a_toy())
    loop = ReconcileLoop(toys, store)
    loop.reconcile(toy_key())
    revision, looks = store.revision(), toys.observations

    loop.reconcile(toy_key())

    assert toys.acts == [WriteFile("ball", "red")]
    assert store.revision() == revision
    assert toys.observations == looks + 1


def test_a_new_object_costs_one_write_for_the_finalizer_and_one_for_the_status(store: Store, toys: ToyReconciler):
    created = store.create(a_toy())

    ReconcileLoop(toys, store).reconcile(toy_key())

    assert store.revision() == int(created["metadata"]["resourceVersion"]) + 2


def test_a_changed_spec_takes_effect(store: Store, toys: ToyReconciler):
    store.create(a_toy(content="red"))
    loop = ReconcileLoop(toys, store)
    loop.reconcile(toy_key())
    store.update(with_content(store.get(toy_key()), "blue"))

    loop.reconcile(toy_key())

    assert (toys.directory / "ball").read_text() == "blue"
    assert store.get(toy_key())["status"] == {"observedGeneration": 2, "content": "blue"}


def test_what_was_changed_behind_our_back_is_put_right(store: Store, toys: ToyReconciler):
    store.create(a_toy(content="red"))
    loop = ReconcileLoop(toys, store)
    loop.reconcile(toy_key())
    (toys.directory / "ball").write_text("scratched")

    loop.reconcile(toy_key())

    assert (toys.directory / "ball").read_text() == "red"


def test_a_deleted_object_goes_when_nothing_of_it_is_left(store: Store, toys: ToyReconciler):
    store.create(a_toy())
    loop = ReconcileLoop(toys, store)
    loop.reconcile(toy_key())
    store.delete(toy_key())

    loop.reconcile(toy_key())

    assert store.get(toy_key()) is None
    assert list(toys.directory.iterdir()) == []


def test_a_deleted_object_that_another_finalizer_holds_keeps_it_and_its_status_is_true(
    store: Store, toys: ToyReconciler
):
    store.create(a_toy(finalizers=["somebody/else"]))
    loop = ReconcileLoop(toys, store)
    loop.reconcile(toy_key())
    store.delete(toy_key())

    loop.reconcile(toy_key())

    stored = store.get(toy_key())
    assert stored["metadata"]["finalizers"] == ["somebody/else"]
    assert "content" not in stored["status"]


def test_an_object_that_is_deleting_and_let_go_of_is_left_alone(store: Store, toys: ToyReconciler):
    store.create(a_toy(finalizers=["somebody/else"]))
    store.delete(toy_key())

    ReconcileLoop(toys, store).reconcile(toy_key())

    assert toys.observations == 0
    assert store.get(toy_key())["metadata"]["finalizers"] == ["somebody/else"]


def test_a_key_without_an_object_is_nothing_to_do(store: Store, toys: ToyReconciler):
    assert ReconcileLoop(toys, store).reconcile(toy_key("nobody")) == Result()
    assert toys.observations == 0


class Asking(ToyReconciler):
    """Plans as it is told to."""

    plans: list[Plan]

    def plan(self, obj: Toy, observed: str | None) -> Plan:
        return self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]


def test_a_plan_that_asks_for_another_pass_gets_it_after_its_status_is_stored(store: Store, toys: ToyReconciler):
    seen = []

    class Recording(Asking):
        def plan(self, obj: Toy, observed: str | None) -> Plan:
            seen.append(obj.status)
            return super().plan(obj, observed)

    store.create(a_toy())
    asking = Recording(toys.directory)
    asking.plans = [Plan.do(WriteFile("ball", "red"), again=True), Plan.nothing(check_again_seconds=7.0)]

    result = ReconcileLoop(asking, store).reconcile(toy_key())

    assert result == Result(requeue_after_seconds=7.0)
    assert seen == [ToyStatus(), ToyStatus(observed_generation=1, content="red")]


def test_steps_that_need_a_record_are_taken_from_it_and_the_next_pass_alone_looks_at_what_came_of_them(
    store: Store, toys: ToyReconciler
):
    taken = []

    def note(toy: Toy, step: WriteFile) -> None:
        taken.append((step.content, toy.status, store.get(toy_key()).get("status"), asking.observations))

    store.create(a_toy())
    asking = Asking(toys.directory, note)
    first, then = WriteFile("ball", "blue"), WriteFile("ball", "red")
    asking.plans = [Plan.once_recorded(then, first=(first,)), Plan.nothing()]

    ReconcileLoop(asking, store).reconcile(toy_key())

    recorded = ToyStatus(observed_generation=1)
    assert taken == [("blue", ToyStatus(), None, 1), ("red", recorded, recorded.to_document(), 1)]
    assert (asking.observations, store.get(toy_key())["status"]["content"]) == (2, "red")


def test_steps_that_need_a_record_are_not_taken_without_it(store: Store, toys: ToyReconciler):
    store.create(a_toy())
    ReconcileLoop(toys, store).reconcile(toy_key())
    asking = Asking(toys.directory, lambda toy, step: store.update(with_content(store.get(toy_key()), "green")))
    store.update(with_content(store.get(toy_key()), "blue"))
    asking.plans = [Plan.once_recorded(WriteFile("ball", "white"), first=(WriteFile("ball", "black"),))]

    with pytest.raises(Conflict, match="has been modified"):
        ReconcileLoop(asking, store).reconcile(toy_key())

    assert asking.acts == [WriteFile("ball", "black")]


def test_a_plan_that_asks_again_for_ever_lets_others_have_a_turn(store: Store, toys: ToyReconciler):
    store.create(a_toy())
    asking = Asking(toys.directory)
    asking.plans = [Plan(again=True)]

    result = ReconcileLoop(asking, store).reconcile(toy_key())

    assert result == Result(again=True)
    assert asking.observations == MOST_PASSES_IN_A_ROW


def test_a_status_made_from_a_stale_object_is_refused(store: Store, toys: ToyReconciler):
    store.create(a_toy())
    ReconcileLoop(toys, store).reconcile(toy_key())
    store.update(with_content(store.get(toy_key()), "blue"))
    toys.before_act = lambda toy, step: store.update(with_content(store.get(toy_key()), "green"))

    with pytest.raises(Conflict, match="has been modified"):
        ReconcileLoop(toys, store).reconcile(toy_key())


def test_what_is_stored_and_cannot_be_read_is_named_with_its_fields(store: Store, toys: ToyReconciler):
    store.create(a_toy() | {"spec": {"content": ["not", "text"]}})

    with pytest.raises(
        UnreadableError, match=r"cannot read toy/default/ball from the store: spec\.content: Input should be"
    ):
        ReconcileLoop(toys, store).reconcile(toy_key())

    assert "finalizers" not in store.get(toy_key())["metadata"]


def test_a_failure_is_put_into_the_status(store: Store, toys: ToyReconciler):
    store.create(a_toy())

    ReconcileLoop(toys, store).report_failure(toy_key(), TerminalError("Impossible", "no"))

    assert store.get(toy_key())["status"]["problem"] == "Impossible: no"


def test_a_failure_of_an_object_that_is_gone_is_nobodys(store: Store, toys: ToyReconciler):
    loop = ReconcileLoop(toys, store)

    assert loop.report_failure(toy_key(), TerminalError("Impossible", "no")) is None
    assert loop.is_absent(toy_key())
