"""What is remembered of resolutions is never other than what would be found anew."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from api import runtime_spec
from api.packages.manifest import Manifest, Mount
from controller.runtime import resolutions, resolve
from controller.runtime.meaning import Hold
from controller.runtime.resolutions import Resolutions
from controller.runtime.resolve import Standing
from controller.runtime.trees.tree import InstalledRuntime

versions = st.sampled_from([None, "1.0.0", "1.9.0", "1.10.0", "2.0.0-rc.1"])
looks = st.lists(st.tuples(st.sampled_from(["python-3.11", "python-3.11-ml"]), versions), max_size=5)
holds = st.sampled_from([(), (Hold("latest", "1.10.0", None),), (Hold("^1", "1.9.0", "1.9.0"),)])
standings = st.fixed_dictionaries(
    {
        name: st.builds(Standing, st.dictionaries(st.sampled_from(["1.9.0", "1.10.0"]), st.just("no")), holds)
        for name in ("python-3.11", "python-3.11-ml")
    }
)
specs = st.sampled_from(
    ["python-3.11", "python-3.11@^1", "python-3.11@1.9.0", "python-3.11-ml@latest", "python:3.11", "python:3.11+ml"]
).map(runtime_spec.parse)
steps = st.one_of(
    st.tuples(st.just("look"), looks),
    st.tuples(st.just("standing"), standings),
    st.tuples(st.just("ask"), specs),
    st.tuples(st.just("ask"), specs),
)


def trees(look: list[tuple[str, str | None]]) -> tuple[InstalledRuntime, ...]:
    return tuple(
        InstalledRuntime(name, version, Path(f"/r/{number}"), Manifest(name, (Mount("a", "/a"),)))
        for number, (name, version) in enumerate(look)
    )


@given(looks, standings, st.lists(steps, max_size=30))
def test_an_answer_is_the_one_that_is_found_anew_whatever_changed_since(look, standing, then):
    remembered, installed = Resolutions(), trees(look)

    for what, value in [*then, *(("ask", runtime_spec.parse(f"{name}@^1")) for name in standing)]:
        if what == "look":
            installed = trees(value)
        elif what == "standing":
            standing = value
        else:
            first, second = (remembered.resolve(value, installed, standing.__getitem__) for _ in range(2))
            assert first == second == resolve.resolve(value, installed, standing.__getitem__)


def test_what_is_asked_again_is_not_resolved_again(monkeypatch):
    asked = []
    monkeypatch.setattr(
        resolve, "resolve", lambda spec, *rest, anew=resolve.resolve: asked.append(spec) or anew(spec, *rest)
    )
    remembered, installed, spec = Resolutions(), trees([("python-3.11", "1.0.0")]), runtime_spec.parse("python-3.11")

    for _ in range(3):
        remembered.resolve(spec, installed, lambda _name: Standing())

    assert asked == [spec]


def test_no_more_is_remembered_than_is_bounded(monkeypatch):
    monkeypatch.setattr(resolutions, "_MOST", 4)
    remembered, installed = Resolutions(), trees([("python-3.11", "1.0.0")])

    for number in range(9):
        remembered.resolve(runtime_spec.parse(f"python-3.11@1.0.{number}"), installed, lambda _name: Standing())

    assert len(remembered._known.answers) <= 4
