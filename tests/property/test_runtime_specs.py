"""Specs and versions, whatever they are."""

import random

from hypothesis import given
from hypothesis import strategies as st

from api import runtime_spec
from api.runtime_spec import RuntimeSpec, SpecError, parse

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
numbers = st.integers(0, 10**6).map(str)
cores = st.tuples(numbers, numbers, numbers).map(".".join)
identifiers = st.one_of(numbers, st.from_regex(r"[0-9]*[A-Za-z-][0-9A-Za-z-]{0,5}", fullmatch=True))
prereleases = st.lists(identifiers, max_size=3).map(lambda parts: "-" + ".".join(parts) if parts else "")
builds = st.lists(st.from_regex(r"[0-9A-Za-z-]{1,5}", fullmatch=True), max_size=2).map(
    lambda parts: "+" + ".".join(parts) if parts else ""
)
versions = st.tuples(cores, prereleases, builds).map("".join)
tags = st.lists(st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True), max_size=3).map(
    lambda found: tuple(sorted(set(found)))
)
specs = st.one_of(
    st.builds(RuntimeSpec, name=names, version=st.one_of(st.none(), versions)),
    st.builds(
        RuntimeSpec,
        language=st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True),
        language_version=st.from_regex(r"[A-Za-z0-9]{1,4}(\.[A-Za-z0-9]{1,4}){0,2}", fullmatch=True),
        tags=tags,
    ),
)


@given(specs)
def test_a_spec_is_read_back_as_it_was_written(spec: RuntimeSpec):
    assert parse(str(spec)) == spec


@given(st.text(max_size=80))
def test_any_text_is_a_spec_that_reads_back_or_is_refused(text: str):
    try:
        spec = parse(text)
    except SpecError:
        return
    assert parse(str(spec)) == spec
    assert "/" not in str(spec)
    assert ".." not in str(spec)


@given(names, versions)
def test_a_directory_gives_back_the_version_it_was_named_for(name: str, version: str):
    found_name, found_version = runtime_spec.split_directory(f"{name}-{version}")

    # A name or pre-release may itself look like a version: then the split is another, of the same whole.
    assert f"{found_name}-{found_version}" == f"{name}-{version}"
    assert found_version is not None
    assert version.endswith(found_version) or found_version.endswith(version)


@given(st.lists(versions, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_latest_does_not_depend_on_the_order(found: list[str], shuffler: random.Random):
    shuffled = found[:]
    shuffler.shuffle(shuffled)

    assert runtime_spec.latest(shuffled) == runtime_spec.latest(found)
