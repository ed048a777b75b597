"""Rules add, scopes take away, and who covers a rule may do all that it allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access.policy import Policy
from api.access.rules import Asked, Rule, Scope, uncovered
from api.access.users import MASTERS, known
from support.access import a_binding, a_role, policy

VERBS, GROUPS = ("get", "list", "create", "*"), ("", "runwright.dev", "*")
RESOURCES, NAMES = ("jobs", "pods", "pods/log", "*/log", "*"), ("a", "b")
SPACES, PATHS = ("default", "other"), ("/metrics", "/a/*", "*")


def some(values, least=0):
    return st.lists(st.sampled_from(values), min_size=least, max_size=3, unique=True).map(tuple)


resource_rules = st.builds(Rule, some(VERBS, 1), some(GROUPS, 1), some(RESOURCES, 1), some(NAMES))
path_rules = st.builds(lambda verbs, paths: Rule(verbs, paths=paths), some(VERBS, 1), some(PATHS, 1))
rules = st.one_of(resource_rules, path_rules)
asked = st.one_of(
    st.builds(
        Asked, st.sampled_from(VERBS[:3]), st.sampled_from(GROUPS[:2]), st.sampled_from(("jobs", "pods")),
        st.sampled_from(("", "log", "exec")), st.sampled_from(("", *SPACES)), st.sampled_from(("", *NAMES, "c")),
    ),
    st.builds(lambda verb, path: Asked(verb, path=path), st.sampled_from(VERBS[:3]), st.sampled_from(("/metrics", "/a/b", "/x"))),
)  # fmt: skip
scopes = st.lists(st.builds(Scope, rules, some(SPACES)), max_size=3).map(tuple)


def granted(held, namespace=""):
    return policy(a_role("r", *held), a_binding("b", "r", "User:u", namespace=namespace))


@pytest.mark.invariant("A3")
@given(st.lists(rules, max_size=4), rules, asked, st.sampled_from(("", "default")))
def test_a_further_rule_takes_no_right_away(held, further, what, namespace):
    user = known("u", (), via="test")
    if granted(held, namespace).decide(user, what).allowed:
        assert granted([*held, further], namespace).decide(user, what).allowed


@pytest.mark.invariant("A3")
@given(st.lists(rules, max_size=4), scopes, asked, st.booleans())
def test_a_scope_gives_no_right(held, scope, what, is_master):
    groups = (MASTERS,) if is_master else ()
    narrow, plain = known("u", groups, via="test", scope=scope), known("u", groups, via="test")
    if granted(held).decide(narrow, what).allowed:
        assert granted(held).decide(plain, what).allowed


@given(st.lists(rules, max_size=4), asked)
def test_the_order_of_rules_says_nothing(held, what):
    user = known("u", (), via="test")

    assert granted(held).decide(user, what).allowed == granted(held[::-1]).decide(user, what).allowed


@given(st.lists(rules, max_size=4), asked)
def test_a_binding_in_a_namespace_gives_no_more_than_one_everywhere(held, what):
    user = known("u", (), via="test")
    if granted(held, "default").decide(user, what).allowed:
        assert granted(held).decide(user, what).allowed


@pytest.mark.invariant("A2")
@given(st.lists(rules, max_size=4), st.lists(rules, max_size=3), asked)
def test_who_may_write_a_role_may_do_all_that_it_allows(held, wanted, what):
    user = known("u", (), via="test")
    mine = granted(held)
    if mine.lacking(user, "", wanted) == () and granted(wanted).decide(user, what).allowed:
        assert mine.decide(user, what).allowed


@pytest.mark.invariant("A2")
@given(st.lists(rules, max_size=3), scopes, asked)
def test_who_has_a_scope_gives_no_more_than_the_scope(wanted, scope, what):
    narrow = known("u", (MASTERS,), via="test", scope=scope)
    if Policy().lacking(narrow, "default", wanted) == () and any(rule.allows(what) for rule in wanted):
        inside = [each for each in scope if not each.namespaces or "default" in each.namespaces]
        assert any(each.rule.allows(what) for each in inside)


@given(st.lists(rules, max_size=4))
def test_rules_cover_themselves(held):
    assert uncovered(held, held) == ()


@given(resource_rules)
def test_a_rule_is_read_back_as_it_was_written(rule):
    assert Rule.of(rule.to_document()) == rule
