"""Specs and versions, whatever they are."""

import random

import semantic_version
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
partials = st.tuples(numbers, numbers).map(".".join)
comparators = st.tuples(st.sampled_from(["^", "~", ">=", "<=", "<", ">"]), st.one_of(partials, cores)).map("".join)
ranges = st.lists(st.lists(comparators, min_size=1, max_size=2).map(" ".join), min_size=1, max_size=3).map(" || ".join)
specs = st.one_of(
    st.builds(RuntimeSpec, name=names, version=st.one_of(st.none(), versions)),
    st.builds(RuntimeSpec, name=names, range=ranges),
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


small = st.integers(0, 3)
small_cores = st.tuples(small, small, small)


@given(small_cores, st.lists(small_cores, max_size=12))
def test_a_range_means_what_npm_says_it_means(base: tuple[int, int, int], others: list[tuple[int, int, int]]):
    """Against the definition: ^ keeps the first number that is not 0, ~ keeps the minor one."""
    text = ".".join(map(str, base))
    caret_end = next(((*base[:i], n + 1) for i, n in enumerate(base) if n), (0, 0, 1))
    for other in [base, *others]:
        version = ".".join(map(str, other))
        assert runtime_spec.matches(f"^{text}", version) == (base <= other < caret_end + (0,) * (3 - len(caret_end)))
        assert runtime_spec.matches(f"~{text}", version) == (base <= other < (base[0], base[1] + 1, 0))
        assert runtime_spec.matches(f">={text} <{base[0] + 1}", version) == (base <= other < (base[0] + 1, 0, 0))
        assert runtime_spec.matches(f"{base[0]}.x", version) == (other[0] == base[0])
        assert runtime_spec.matches(f"{base[0]}.x || 3.x", version) == (other[0] in (base[0], 3))


@given(ranges, st.lists(versions, max_size=8), st.randoms(use_true_random=False))
def test_the_best_of_a_range_is_in_it_and_none_in_it_is_higher(wanted: str, found: list[str], shuffler: random.Random):
    shuffled = found[:]
    shuffler.shuffle(shuffled)
    best = runtime_spec.best(wanted, found)
    within = [version for version in found if runtime_spec.matches(wanted, version)]

    assert runtime_spec.best(wanted, shuffled) == best == runtime_spec.latest(within)


@given(cores, identifiers)
def test_a_prerelease_is_in_no_range_that_names_none_of_its_own_version(core: str, identifier: str):
    prerelease = f"{core}-{identifier}"
    major, minor, _ = core.split(".")

    assert not runtime_spec.matches(f"^{major}.{minor}", prerelease)
    assert not runtime_spec.matches(f"<{int(major) + 1}", prerelease)
    assert not runtime_spec.matches("*", prerelease)
    assert runtime_spec.matches(f">={prerelease}", prerelease)


@given(st.text(alphabet="^~<>=|*xX. 0123456789-+ab", max_size=24))
def test_any_range_is_read_back_as_it_was_written_or_refused(text: str):
    try:
        wanted = runtime_spec.check_wanted(text)
    except SpecError:
        return
    assert runtime_spec.check_wanted(wanted) == wanted
    assert runtime_spec.matches(wanted, "1.2.3") in (True, False)


@given(versions, versions)
def test_the_order_is_that_of_the_library_that_knows_semver(one: str, other: str):
    order = runtime_spec.version_order
    # Without build tags, by which the standard gives no order.
    first, second = (semantic_version.Version(each).truncate("prerelease") for each in (one, other))

    if first != second:
        assert (order(one) < order(other)) == (first < second)
