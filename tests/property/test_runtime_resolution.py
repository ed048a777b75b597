"""Resolution never depends on the order in which trees are found."""

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from api import runtime_spec
from controller.runtime import resolve
from controller.runtime.manifest import Manifest, Mount
from controller.runtime.resolve import Resolved
from controller.runtime.tree import InstalledRuntime

names = st.sampled_from(
    ["python-3.11", "python-3.11-ml", "python-3.11-ml-gpu", "openjdk-21", "java-21", "graalvmjdk-21"]
)
versions = st.sampled_from([None, "1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1", "1.0.0+a", "1.0.0+b"])
specs = st.one_of(
    names,
    st.tuples(names, versions).map(lambda pair: f"{pair[0]}@{pair[1] or ''}"),
    st.sampled_from(["python:3.11", "python:3.11+ml", "java:21", "java:21+graalvm", "go:1"]),
).map(runtime_spec.parse)


@st.composite
def trees(draw: st.DrawFn) -> list[InstalledRuntime]:
    found = draw(st.lists(st.tuples(names, versions, st.booleans()), max_size=8))
    return [
        InstalledRuntime(
            name, version, Path(f"/r/{n}"), Manifest(name, (Mount("a", "/a"),)), () if is_valid else ("broken",)
        )
        for n, (name, version, is_valid) in enumerate(found)
    ]


@given(specs, trees(), st.randoms(use_true_random=False))
def test_the_answer_does_not_depend_on_the_order(spec, there: list[InstalledRuntime], shuffler: random.Random):
    shuffled = there[:]
    shuffler.shuffle(shuffled)

    first, second = (resolve.resolve(spec, tuple(order)) for order in (there, shuffled))

    assert first == second


@given(specs, trees())
def test_what_is_resolved_is_usable_and_what_was_asked_for(spec, there: list[InstalledRuntime]):
    answer = resolve.resolve(spec, tuple(there))

    if isinstance(answer, Resolved):
        assert answer.runtime.is_valid
        assert spec.name in (None, answer.runtime.name)
        assert spec.version in (None, answer.runtime.version)
