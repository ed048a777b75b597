"""Ranges, updates, rollbacks, runtimes made of others and archives, through a real daemon, rnx and real jobs."""

import hashlib
import itertools
import re
from collections.abc import Iterator

import pytest

from api.errors import Invalid
from api.kinds import JOB, RUNTIME, RUNTIME_TEMPLATE
from api.meta import Document
from api.runtime_requests import PREFIX
from support.registry_fixtures import a_file
from support.runtime_place import HERE, Place, a_place
from support.shell_runtime import shell_package

# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

numbers = itertools.count()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    with a_place(tmp_path_factory.mktemp("registry")) as place:
        yield place


def ask(place: Place, name: str, request: str, value: str = "") -> str:
    """Ask by annotation, wait until it was heard, and return what became of it."""
    value = f"{value} {next(numbers)}".strip()
    place.daemon.client.merge_patch(RUNTIME, "", name, {"metadata": {"annotations": {PREFIX + request: value}}})

    def heard() -> bool:
        return place.runtime(name).get("status", {}).get("requestsHeard", {}).get(request) == value

    place.daemon.until(f"{request} {value} of {name} is heard", heard, 20)
    return str(place.runtime(name)["status"]["requestResults"][request])


def version_in(place: Place, spec: str) -> str:
    """Run a job in `spec`; return the version that it ran in, and that its status says with its digest."""
    job = f"which-{next(numbers)}"
    printed = place.output(job, "cat /etc/version", runtime=spec).partition("@")[2].strip()
    run = place.daemon.status(job)["runs"][-1]
    assert run["runtime"].endswith(f"@{printed}")
    name = run["runtime"].partition("@")[0]
    assert run["runtimeDigest"] == place.versions(name)[printed]["digest"]
    return printed


def moved_to(place: Place, name: str, version: str) -> None:
    """Wait until what was asked for means `version`."""

    def has_moved() -> bool:
        return bool(place.runtime(name)["status"]["history"][-1]["version"] == version)

    place.daemon.until(f"{name} means {version}", has_moved, 20)


def made_anew(place: Place, name: str, before: str) -> None:
    """Wait until 1.0.0 of a runtime is there with another content; while it is made it may have none."""

    def has_another() -> bool:
        return place.versions(name).get("1.0.0", {}).get("digest") not in (None, "", before)

    place.daemon.until(f"{name} has another content", has_another)


def offer(place: Place, name: str, *versions: str) -> None:
    for version in versions:
        place.registry.add(name, version, shell_package(name, version), platforms=[HERE])
    place.look_at_registry()


def test_a_job_that_asks_for_a_range_gets_its_highest_version(place):
    offer(place, "ranged", "1.2.0", "1.10.0", "2.0.0")

    assert version_in(place, "ranged@^1.2") == "1.10.0"
    assert version_in(place, "ranged@>=1.0 <1.3 || 1.10.x") == "1.10.0"
    assert place.runtime("ranged")["spec"]["versions"] == ["^1.2"]


def test_latest_moves_on_rolls_back_and_updates_again(place):
    offer(place, "moving", "1.0.0")
    place.declare(RUNTIME, "moving", versions=["latest"], retain=2)
    place.ready("moving")
    assert version_in(place, "moving") == "1.0.0"
    offer(place, "moving", "1.1.0")
    moved_to(place, "moving", "1.1.0")
    assert version_in(place, "moving") == "1.1.0"

    assert ask(place, "moving", "rollback") == "latest means 1.0.0 again, after 1.1.0"
    assert version_in(place, "moving") == "1.0.0"
    assert version_in(place, "moving@^1.0") == "1.0.0"
    assert version_in(place, "moving@1.1.0") == "1.1.0"

    assert ask(place, "moving", "update") == "latest means 1.1.0"
    assert version_in(place, "moving") == "1.1.0"
    assert ask(place, "moving", "gc").startswith("removed 1.0.0")
    assert [e["reason"] for e in place.runtime("moving")["status"]["history"]] == [
        "first", "update", "rollback", "update",
    ]  # fmt: skip


def test_a_running_job_keeps_its_version_through_an_update_and_its_retries_too(place):
    offer(place, "kept", "1.0.0")
    place.declare(RUNTIME, "kept", versions=["latest"], retain=0)
    place.ready("kept")
    place.daemon.shell("keeper", "while [ ! -e /work/go ]; do sleep 0.1; done; cat /etc/version", runtime="kept")
    place.daemon.until("it runs", lambda: place.daemon.status("keeper").get("phase") == "Running")
    offer(place, "kept", "1.1.0")
    moved_to(place, "kept", "1.1.0")
    kept = place.versions("kept")["1.0.0"]["keptBecause"]

    assert "in use by job/default/keeper" in kept
    place.daemon.client.delete(JOB, "default", "keeper")
    place.daemon.until("1.0.0 is gone", lambda: "1.0.0" not in place.versions("kept"), 20)


def test_a_runtime_made_of_two_others_has_what_both_have_and_its_own(place):
    offer(place, "base", "1.0.0")
    tool = a_file("isolated/bin/tool", b"#!/bin/sh\necho tool of $OWNER\n", 0o755)
    place.registry.add("tools", "1.0.0", shell_package("tools", "1.0.0", tool), platforms=[HERE])
    place.look_at_registry()
    place.declare(
        RUNTIME, "both",
        extends={
            "runtimes": ["base", "tools@^1"],
            "environment": {"OWNER": "both"},
            "files": [{"path": "/etc/own", "text": "its own"}],
        },
    )  # fmt: skip
    place.ready("both")

    assert (
        place.output("of-both", "tool; cat /etc/version /etc/own", runtime="both")
        == "tool of both\ntools@1.0.0\nits own"
    )
    assert place.root.joinpath("both-1.0.0/isolated/bin/tool").samefile(place.root / "tools-1.0.0/isolated/bin/tool")


def test_an_edited_archive_of_the_same_version_takes_its_place(place, tmp_path):
    def archive(content: str) -> dict[str, str]:
        data = shell_package("packed", "1.0.0", a_file("isolated/etc/content", content.encode()))
        (tmp_path / f"{content}.tar.gz").write_bytes(data)
        return {"url": str(tmp_path / f"{content}.tar.gz"), "checksum": f"sha256:{hashlib.sha256(data).hexdigest()}"}

    place.declare(RUNTIME, "packed", archive=archive("one"))
    place.ready("packed")
    assert place.output("packed-1", "cat /etc/content", runtime="packed") == "one"
    before = place.versions("packed")["1.0.0"]["digest"]
    place.declare(RUNTIME, "packed", archive=archive("two"))
    made_anew(place, "packed", before)
    assert place.output("packed-2", "cat /etc/content", runtime="packed") == "two"


def test_what_drifted_is_found_and_installed_again_while_a_job_goes_on_in_it(place):
    offer(place, "drifting", "1.0.0")
    place.declare(RUNTIME, "drifting", versions=["1.0.0"])
    place.ready("drifting")
    place.daemon.shell("in-it", "while :; do sleep 0.1; done", runtime="drifting")
    place.daemon.until("it runs", lambda: place.daemon.status("in-it").get("phase") == "Running")
    (place.root / "drifting-1.0.0/isolated/etc/version").chmod(0o777)
    (place.root / "drifting-1.0.0/isolated/etc/added").write_text("by hand")

    assert "2 entries differ" in ask(place, "drifting", "verify")
    place.daemon.until("it is healed", lambda: not (place.root / "drifting-1.0.0/isolated/etc/added").exists(), 20)
    assert ask(place, "drifting", "verify") == "1.0.0 is what was installed"
    assert place.daemon.status("in-it")["phase"] == "Running"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"versions": ["1.3"]}, "a range such as ^1.3, or latest"),
        ({"archive": {"url": "/x", "checksum": "sha256:" + "0" * 64}, "registry": "r"}, "may not be set together"),
        ({"extends": {"runtimes": ["a"]}, "versions": ["latest"]}, "the one exact version that spec.extends makes"),
    ],
)
def test_a_runtime_that_cannot_be_is_refused_at_admission(place, spec, why):
    with pytest.raises(Invalid, match=re.escape(why)):
        place.declare(RUNTIME, "wrong", **spec)


def test_a_template_is_built_with_its_parameters(place):
    place.declare(
        RUNTIME_TEMPLATE, "greeter",
        parameters=[{"name": "greeting", "default": "hello"}, {"name": "who"}],
        build={"base": {"from": "host"}, "files": [{"path": "/etc/greeting", "text": "${greeting} ${who}"}]},
    )  # fmt: skip
    place.declare(RUNTIME, "greeting", template={"name": "greeter"})
    assert 'parameter "who" is required' in place.ready("greeting", "InvalidTemplate")["message"]

    place.declare(RUNTIME, "greeting", template={"name": "greeter", "parameters": {"who": "world"}})
    place.ready("greeting")
    assert place.output("greets", "cat /etc/greeting", runtime="greeting") == "hello world"
    digest = place.versions("greeting")["1.0.0"]["digest"]

    place.declare(
        RUNTIME_TEMPLATE, "greeter",
        parameters=[{"name": "greeting", "default": "good bye"}, {"name": "who"}],
        build={"base": {"from": "host"}, "files": [{"path": "/etc/greeting", "text": "${greeting} ${who}"}]},
    )  # fmt: skip
    made_anew(place, "greeting", digest)
    assert place.output("parts", "cat /etc/greeting", runtime="greeting") == "good bye world"


def test_a_version_that_does_not_work_is_not_switched_to_and_says_why(place):
    offer(place, "checked", "1.0.0")
    place.declare(
        RUNTIME, "checked", versions=["^1"], healthCheck={"command": ["sh", "-c", "cat /etc/broken && exit 3"]}
    )
    assert place.ready("checked", "Unhealthy")["status"] == "False"
    place.declare(RUNTIME, "checked", versions=["^1"], healthCheck={"command": ["sh", "-c", "! cat /etc/broken"]})
    assert ask(place, "checked", "test") == "1.0.0 works"
    place.ready("checked")
    broken = shell_package("checked", "1.1.0", a_file("isolated/etc/broken", b"it is broken"))
    place.registry.add("checked", "1.1.0", broken, platforms=[HERE])
    place.look_at_registry()

    def unhealthy() -> Document | None:
        found = place.versions("checked").get("1.1.0", {})
        return found if found.get("health") == "Unhealthy" else None

    assert "it is broken" in place.daemon.until("1.1.0 is unhealthy", unhealthy, 20)["healthMessage"]
    assert version_in(place, "checked") == version_in(place, "checked@^1") == "1.0.0"
    assert place.ready("checked")["status"] == "True"
    assert ask(place, "checked", "test", "1.1.0").startswith("1.1.0: ")
