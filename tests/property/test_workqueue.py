"""The queue against a model of it: whatever is added, taken, given back and however time moves."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from api.meta import ObjectKey
from controller.engine.workqueue import WorkQueue
from support.hand_clock import HandClock

KEYS = st.sampled_from([ObjectKey("Toy", "default", name) for name in "abcd"])


class QueueMachine(RuleBasedStateMachine):
    """The model: which keys are due, which are held, and when which comes due."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.queue = WorkQueue(self.clock)
        self.due: set[ObjectKey] = set()
        self.held: list[ObjectKey] = []
        self.later: dict[ObjectKey, float] = {}

    def pass_time(self) -> None:
        for key in [key for key, when in self.later.items() if when <= self.clock.monotonic()]:
            del self.later[key]
            self.due.add(key)

    @rule(key=KEYS)
    def add(self, key: ObjectKey) -> None:
        self.queue.add(key)
        self.due.add(key)

    @rule(key=KEYS, seconds=st.integers(1, 8))
    def add_after(self, key: ObjectKey, seconds: int) -> None:
        self.queue.add_after(key, seconds)
        due = self.clock.monotonic() + seconds
        self.later[key] = min(due, self.later.get(key, due))

    @rule(seconds=st.integers(1, 5))
    def move_the_clock(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def take(self) -> None:
        self.pass_time()
        takeable = self.due - set(self.held)
        key = self.queue.get(0.0)
        assert (key in takeable) if takeable else key is None
        if key is not None:
            assert key not in self.held, "two workers have one key"
            self.due.discard(key)
            self.held.append(key)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        self.held.remove(key)
        self.queue.done(key)

    @invariant()
    def nothing_is_lost_or_twice(self) -> None:
        assert len(self.queue) <= len(self.due - set(self.held))

    def teardown(self) -> None:
        """Whatever happened: everything that is due comes out, once."""
        for key in self.held:
            self.queue.done(key)
        self.clock.advance(100)
        self.pass_time()
        self.due |= set(self.later)
        came = []
        while (key := self.queue.get(0.0)) is not None:
            came.append(key)
        assert sorted(came) == sorted(self.due)


TestWorkQueue = QueueMachine.TestCase
TestWorkQueue.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
