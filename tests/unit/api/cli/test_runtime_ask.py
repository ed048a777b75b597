"""What `rnx runtime` asks of the daemon: verify, test, update, rollback, gc. The tests play the controller."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from api.client_watch import wait_for
from api.kinds import RUNTIME
from api.runtime_requests import PREFIX, Request, digests_in, unheard, version_in, versions_in
from controller.runtime.keeping import Kept, kept_because
from support.objects import a_runtime
from support.runtime_builders import a_tree_of, observed


@pytest.fixture(autouse=True)
def tool(live) -> None:
    live.create(RUNTIME, a_runtime("tool", versions=["latest"]))
    status(live, "1.1.0")


def status(live, *versions: str, **more: Any) -> None:
    entries = [{"version": v, "state": "Installed", "path": f"/{v}", "digest": "sha256:ab"} for v in versions]
    live.set_status(RUNTIME, "tool", versions=entries, **more)


@contextmanager
def a_controller(live, request: str, result: str, **more: Any) -> Iterator[list[str]]:
    """Hear the next request, and answer it with `result` and more of the status."""
    heard: list[str] = []

    def hear() -> None:
        def is_asked(document: Any) -> bool:
            return Request(request) in unheard(document)

        runtime = wait_for(live.client, RUNTIME, "", "tool", until=is_asked, timeout_seconds=20)
        assert runtime is not None
        heard.append(runtime["metadata"]["annotations"][PREFIX + request])
        live.set_status(RUNTIME, "tool", requestsHeard={request: heard[0]}, requestResults={request: result}, **more)

    thread = threading.Thread(target=hear)
    thread.start()
    try:
        yield heard
    finally:
        thread.join(30)


def test_a_runtime_that_is_what_was_installed_is_told_so(rnx, live):
    with a_controller(live, "verify", "1.1.0 is what was installed"):
        said = rnx("runtime", "verify", "tool")

    assert (said.code, said.out) == (0, "Runtime tool: 1.1.0 is what was installed\n")


def test_what_differs_is_told_and_ends_with_1(rnx, live):
    with a_controller(live, "verify", "1.1.0: bin/sh was changed") as heard:
        said = rnx("runtime", "verify", "tool@1.1.0")

    assert (said.code, said.out, said.err) == (1, "Runtime tool: 1.1.0: bin/sh was changed\n", "")
    assert version_in(heard[0]) == "1.1.0"


@pytest.mark.parametrize(
    ("versions", "there"), [(("1.10.0", "1.9.0"), "there is 1.9.0, 1.10.0"), ((), "there is none")]
)
@pytest.mark.parametrize("request_", ["verify", "test"])
def test_a_version_that_is_not_there_is_named_with_those_there_are(rnx, live, request_, versions, there):
    status(live, *versions)
    with a_controller(live, request_, "there is no version to look at"):
        said = rnx("runtime", request_, "tool@7.0.0")

    why = f"error: cannot {request_} tool@7.0.0: this version is not on this host: {there}\n"
    assert (said.code, said.out, said.err) == (1, "", why)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("tool@1.0.0", "cannot update tool@1.0.0: it is one version, and stays it: leave out @1.0.0, or: rnx runtime"),
        ("tool@^1.2", "cannot update tool@^1.2: tool has no such range: it has latest, ~ 1.1"),
    ],
)
def test_an_update_of_what_an_update_does_not_change_is_refused(rnx, live, spec, why):
    live.client.merge_patch(RUNTIME, "", "tool", {"spec": {"versions": ["latest", "~ 1.1"]}})
    said = rnx("runtime", "update", spec)

    assert said.code == 2
    assert why in said.err
    with a_controller(live, "update", "latest means 1.2.0"):
        assert rnx("runtime", "update", "tool@~1.1").code == 0


def test_each_request_is_a_new_one(rnx, live):
    for _ in range(2):
        with a_controller(live, "verify", "1.1.0 is what was installed") as heard:
            assert rnx("runtime", "verify", "tool").code == 0
        assert len(heard) == 1


def test_a_test_is_the_daemons_own_health_check(rnx, live):
    with a_controller(live, "test", "1.1.0: python: libz.so.1 is missing"):
        said = rnx("runtime", "test", "tool")
    assert (said.code, said.out) == (1, "Runtime tool: 1.1.0: python: libz.so.1 is missing\n")

    with a_controller(live, "test", "1.1.0 works"):
        said = rnx("runtime", "test", "--json", "tool")
    assert (said.code, json.loads(said.out)["metadata"]["name"]) == (0, "tool")


def test_an_option_after_the_runtime_is_no_command(rnx):
    said = rnx("runtime", "test", "tool", "--json")

    assert (said.code, "options of rnx runtime test stand before tool" in said.err) == (2, True)


def test_an_update_says_what_became_of_it(rnx, live):
    with a_controller(live, "update", "latest means 1.2.0"):
        said = rnx("runtime", "update", "tool")

    assert (said.code, said.out) == (0, "Runtime tool: latest means 1.2.0\n")


def test_an_update_that_could_not_look_anything_up_is_no_success(rnx, live):
    with a_controller(live, "update", "cannot look up tool@latest: there is no enabled Registry: declare one"):
        said = rnx("runtime", "update", "tool")

    why = "cannot look up tool@latest: there is no enabled Registry: declare one"
    assert (said.code, said.out, said.err) == (1, "", f"error: cannot update runtime tool: {why}\n")


@pytest.mark.parametrize("told", ["there is no version before", "cannot roll back: there is no version before"])
def test_a_rollback_that_changed_nothing_is_no_success(rnx, live, told):
    with a_controller(live, "rollback", told):
        said = rnx("runtime", "rollback", "tool")

    assert (said.code, said.err) == (1, "error: cannot roll back: Runtime tool: there is no version before\n")


def test_a_rollback_to_a_version_asks_for_that_one(rnx, live):
    history = [{"asked": "latest", "version": "1.0.0", "at": "2026-01-01T00:00:00Z", "reason": "rollback"}]
    with a_controller(live, "rollback", "latest means 1.0.0", history=history) as heard:
        said = rnx("runtime", "rollback", "tool@1.0.0")

    assert (said.code, version_in(heard[0])) == (0, "1.0.0")
    rows = [line.split() for line in rnx("runtime", "history", "tool").lines]
    assert rows[1][:2] + rows[1][-1:] == ["latest", "1.0.0", "rollback"]


def test_a_runtime_whose_latest_meant_nothing_yet_says_so(rnx, live):
    live.create(RUNTIME, a_runtime("other", versions=["latest", "1.0.0"]))

    assert rnx("runtime", "history", "other").err == "Runtime other: latest meant no version yet\n"


def test_a_runtime_of_exact_versions_has_no_history(rnx, live):
    live.create(RUNTIME, a_runtime("exact", versions=["1.0.0"]))

    assert "asks for exact versions only" in rnx("runtime", "history", "exact").err


def test_what_would_go_is_told_with_why_and_nothing_is_asked(rnx, live):
    tree = a_tree_of("1.0.0")
    goes = kept_because(Kept({}, {}, (tree,)), observed(tree), tree)
    at_gc = kept_because(Kept({}, {"1.1.0": "latest"}, ()), observed(), a_tree_of("1.1.0"))
    stays = kept_because(Kept({"1.2.0": "latest"}, {}, ()), observed(), a_tree_of("1.2.0"))
    reasons = {"1.0.0": goes, "1.1.0": at_gc, "1.2.0": stays}
    versions = [{"version": v, "state": "Installed", "keptBecause": why} for v, why in reasons.items()]
    nowhere = {"version": "7.0.0", "state": "Failed", "message": "nobody has it"}  # There is nothing of it to keep.
    live.set_status(RUNTIME, "tool", versions=[*versions, nowhere])
    before = live.get(RUNTIME, "tool")

    rows = [line.split() for line in rnx("runtime", "gc", "--dry-run").lines]
    assert [row[:3] for row in rows[1:]] == [
        ["tool", "1.0.0", "goes"], ["tool", "1.1.0", "goes"], ["tool", "1.2.0", "stays"],
    ]  # fmt: skip
    assert live.get(RUNTIME, "tool") == before
    assert json.loads(rnx("runtime", "gc", "tool", "--dry-run", "--json").out)[0]["metadata"]["name"] == "tool"


def test_what_went_is_told(rnx, live):
    with a_controller(live, "gc", "removed 1.0.0"):
        assert rnx("runtime", "gc").out == "Runtime tool: removed 1.0.0\n"


def test_a_request_that_is_not_heard_in_time_is_told(rnx, live):
    said = rnx("runtime", "verify", "tool", "--timeout=50ms")

    assert (said.code, "timed out waiting for runtime tool (verify): " in said.err) == (4, True)


@pytest.mark.parametrize("request_", ["verify", "test", "accept"])
def test_a_range_is_about_the_versions_in_it_that_are_there(rnx, live, request_):
    status(live, "1.0.0", "1.1.0", "2.0.0-rc.1", "2.0.0")
    with a_controller(live, request_, "1.0.0, 1.1.0 is what was installed") as heard:
        said = rnx("runtime", request_, "tool@>=1 <2")

    assert (said.code, versions_in(heard[0])) == (0, ("1.0.0", "1.1.0"))


@pytest.mark.parametrize("request_", ["verify", "test", "accept"])
def test_a_range_without_a_version_on_this_host_is_refused(rnx, live, request_):
    status(live, "1.0.0", "2.0.0")

    said = rnx("runtime", request_, "tool@^3")

    assert (
        said.err
        == f"error: cannot {request_} tool@^3: no version in this range is on this host: there is 1.0.0, 2.0.0\n"
    )
    assert (said.code, unheard(live.client.get(RUNTIME, "", "tool"))) == (1, {})


def test_a_range_is_nothing_to_roll_back_to(rnx, live):
    said = rnx("runtime", "rollback", "tool@^1")

    assert (said.code, unheard(live.client.get(RUNTIME, "", "tool"))) == (2, {})
    assert "cannot roll back to tool@^1: name one version" in said.err


@pytest.mark.parametrize("command", ["verify", "test", "update", "rollback", "history", "logs"])
def test_a_runtime_that_is_not_there_is_told(rnx, command):
    said = rnx("runtime", command, "gone")

    assert (said.code, 'runtime "gone" not found: there are tool' in said.err) == (1, True)


def test_forcing_an_install_verifies_what_is_there(rnx, live):
    ready = {"type": "Ready", "status": "True", "reason": "Installed", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status(live, "1.1.0", conditions=[ready], observedGeneration=9)
    with a_controller(live, "verify", "1.1.0 is what was installed"):
        said = rnx("runtime", "install", "tool", "--force")

    assert said.out == "Runtime tool@1.1.0 is already installed, and is what was installed\n"


def test_forcing_an_install_waits_until_what_differed_is_installed_again(rnx, live):
    ready = {"type": "Ready", "status": "True", "reason": "Installed", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status(live, "1.1.0", conditions=[ready], observedGeneration=9)
    with a_controller(live, "verify", "1.1.0: bin/sh was changed"):
        said = rnx("runtime", "install", "tool@latest", "-f")

    assert said.out == "Runtime tool@1.1.0 installed again\n"


def test_what_a_version_holds_now_is_accepted_of_one_or_of_all(rnx, live):
    for spec, version in (("tool@1.1.0", "1.1.0"), ("tool", None)):
        with a_controller(live, "accept", "accepted 1.1.0") as heard:
            said = rnx("runtime", "accept", spec)

        assert (said.code, said.out) == (0, "Runtime tool: accepted 1.1.0\n")
        assert version_in(heard[0]) == version


@pytest.mark.parametrize(
    ("spec", "digests"), [("tool", {"a" * 64, "b" * 64}), ("tool@1.1.0", {"b" * 64}), ("tool@2.0.0", set())]
)
def test_what_is_accepted_is_the_content_that_the_status_told_of(rnx, live, spec, digests):
    versions = [
        {"version": v, "state": "Installed", "path": f"/{v}", "digest": d * 64}
        for v, d in (("1.0.0", "a"), ("1.1.0", "b"))
    ]
    live.set_status(RUNTIME, "tool", versions=[*versions, {"version": "2.0.0", "state": "Failed", "path": "/x"}])
    with a_controller(live, "accept", "accepted 1.1.0") as heard:
        assert rnx("runtime", "accept", spec).code == 0

    assert digests_in(heard[0]) == digests


def test_info_tells_what_binds_a_version_and_what_it_held_before(rnx, live):
    told = {"reproducible": "False", "reproducibleMessage": "not pinned: pip six"}
    former = {"formerDigest": "a" * 64, "formerSince": "2026-01-01T00:00:00Z"}
    entry = {"version": "1.1.0", "state": "Installed", "path": "/1.1.0", **told, **former}
    live.set_status(RUNTIME, "tool", versions=[entry])

    lines = [" ".join(line.split()) for line in rnx("runtime", "info", "tool").lines]
    assert "Reproducible: False: not pinned: pip six" in lines
    assert f"Former Digest: {'a' * 64}, since 2026-01-01T00:00:00Z" in lines
