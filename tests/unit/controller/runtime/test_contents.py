"""Verified, Reproducible and DigestMismatch, from what is known of trees."""

from dataclasses import replace

import pytest

from api.runtime_requests import PREFIX
from controller.runtime import contents
from controller.runtime.observed import Tree
from controller.runtime.plan import AcceptContent, plan
from controller.runtime.report import report
from controller.runtime.trees.remembered import Remembered
from support.hand_clock import START
from support.runtime_builders import a_runtime, a_tree_of, observed, there

A, B = "a" * 64, "b" * 64


def a_tree(version: str = "1.0.0", **known: str) -> Tree:
    tree = a_tree_of(version)
    return replace(tree, origin=replace(tree.origin, **{"digest": B, **known}))


def changed(version: str = "1.0.0") -> Tree:
    return replace(a_tree(version), before=Remembered("registry", "", A, "2025-01-02T03:04:05Z"))


def said(kind: str, *trees: Tree) -> tuple[str, str, str] | None:
    found = contents.conditions(observed(*trees), {tree.version for tree in trees})
    return next(((str(c.status), c.reason, c.message) for c in found if c.type == kind), None)


class TestReproducible:
    @pytest.mark.parametrize(
        ("bound", "status"),
        [("Pinned", "True"), ("InputsUnpinned", "False"), ("LockDisagrees", "False"), ("InputsUnknown", "Unknown")],
    )
    def test_it_says_what_is_on_record(self, bound, status):
        assert said("Reproducible", a_tree(bound=bound, bound_message="why")) == (status, bound, "1.0.0: why")

    @pytest.mark.invariant("I12")
    @pytest.mark.parametrize("bound", ["", "WhatALaterVersionSays"])
    def test_what_nobody_looked_at_is_unknown(self, bound):
        status, reason, message = said("Reproducible", a_tree(bound=bound))

        assert (status, reason) == ("Unknown", "NotChecked")
        assert "installed again" in message

    @pytest.mark.invariant("I12")
    def test_the_worst_of_all_versions_is_said_and_only_of_those(self):
        good = a_tree("1.0.0", bound="Pinned")
        unknown, bad = (
            a_tree("2.0.0", bound="InputsUnknown"),
            a_tree("3.0.0", bound="InputsUnpinned", bound_message="x"),
        )

        assert said("Reproducible", good, unknown)[:2] == ("Unknown", "InputsUnknown")
        assert said("Reproducible", good, unknown, bad) == ("False", "InputsUnpinned", "3.0.0: x")

    def test_a_tree_of_somebody_else_is_unknown_and_without_trees_nothing_is_said(self):
        assert said("Reproducible", a_tree_of("1.0.0", ours=False))[:2] == ("Unknown", "InputsUnknown")
        assert said("Reproducible") is None
        assert said("Reproducible", a_tree_of("1.0.0", problem="broken")) is None


class TestDigestMismatch:
    def test_both_digests_and_their_times_are_told_with_the_way_to_accept(self):
        assert said("DigestMismatch", changed()) == (
            "True",
            "ContentChanged",
            f"1.0.0 has the digest sha256:{B} since 2026-01-02T03:04:05Z, it had sha256:{A} since 2025-01-02T03:04:05Z"
            ": see what differs, then take it as it is with rnx runtime accept",
        )

    def test_it_is_false_of_what_is_as_it_was_and_left_out_where_no_digest_is_known(self):
        same = replace(changed(), before=Remembered("registry", "", B, ""))

        assert said("DigestMismatch", same, a_tree("2.0.0"))[:2] == ("False", "SameContent")
        assert said("DigestMismatch", a_tree(digest="")) is None
        assert said("DigestMismatch", a_tree_of("1.0.0", ours=False)) is None

    def test_what_was_asked_to_be_another_is_no_mismatch(self):
        other = replace(changed(), before=Remembered("registry", "other", A, ""))

        assert said("DigestMismatch", other)[0] == "False"

    def test_the_status_of_the_version_has_both(self):
        runtime, seen = a_runtime("1.0.0"), observed(changed(), wanted=(there("1.0.0"),))
        (version,) = report(runtime, seen, plan(runtime, seen), START).versions

        assert (version.digest, version.former_digest, version.former_since) == (B, A, "2025-01-02T03:04:05Z")


class TestAccepting:
    def asking(self, value: str):
        runtime = a_runtime("1.0.0")
        meta = runtime.meta.model_copy(update={"annotations": {PREFIX + "accept": value}})
        return runtime.model_copy(update={"metadata": meta})

    @pytest.mark.parametrize(
        ("value", "accepted"),
        [("now", ("1.0.0", "2.0.0")), ("2.0.0 now", ("2.0.0",)), ("2.0.0 3.0.0 now", ("2.0.0",)), ("3.0.0 now", ())],
    )
    def test_all_that_changed_is_accepted_or_the_version_that_is_named(self, value, accepted):
        seen = observed(changed(), changed("2.0.0"), a_tree("3.0.0"))

        assert plan(self.asking(value), seen).steps == (AcceptContent(accepted),)

    def test_it_is_heard_once_and_says_what_was_accepted(self):
        runtime, seen = self.asking("now"), observed(changed(), wanted=(there("1.0.0"),))
        status = report(runtime, seen, plan(runtime, seen), START)

        assert status.request_results == {"accept": "accepted 1.0.0"}
        heard = runtime.model_copy(update={"status": status})
        assert not any(isinstance(step, AcceptContent) for step in plan(heard, seen).steps)

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("now", "accepted 1.0.0"),
            ("2.0.0 now", "nothing is to be accepted of 2.0.0: it holds what it held before"),
            ("3.0.0 now", "nothing is to be accepted of 3.0.0: it is not installed"),
        ],
    )
    def test_what_is_said_is_of_the_version_that_was_named(self, value, said):
        runtime, seen = self.asking(value), observed(changed(), a_tree("2.0.0"), wanted=(there("1.0.0"),))

        assert report(runtime, seen, plan(runtime, seen), START).request_results["accept"] == said

    def test_where_nothing_changed_it_says_so(self):
        runtime, seen = self.asking("now"), observed(a_tree(), wanted=(there("1.0.0"),))
        results = report(runtime, seen, plan(runtime, seen), START).request_results

        assert results["accept"] == "nothing is to be accepted: each version holds what it held before"

    @pytest.mark.invariant("I11")
    @pytest.mark.parametrize(
        ("value", "accepted", "said"),
        [
            (f"1.0.0 sha256:{B} now", ("1.0.0",), "accepted 1.0.0"),
            (f"1.0.0 sha256:{A} now", (), "nothing is to be accepted of 1.0.0: 1.0.0 holds another content than was looked at: look again"),
            ("sha256: now", (), "nothing is to be accepted: 1.0.0, 2.0.0 holds another content than was looked at: look again"),
            (f"sha256:{B} sha256:{A} now", ("1.0.0",), "accepted 1.0.0; 2.0.0 holds another content than was looked at: look again"),
        ],
    )  # fmt: skip
    def test_only_the_content_that_was_seen_is_accepted(self, value, accepted, said):
        healed = replace(changed("2.0.0"), origin=replace(changed("2.0.0").origin, digest="c" * 64))
        runtime, seen = self.asking(value), observed(changed(), healed, wanted=(there("1.0.0"),))
        planned = plan(runtime, seen)

        assert planned.steps == (AcceptContent(accepted),)
        assert report(runtime, seen, planned, START).request_results["accept"] == said
