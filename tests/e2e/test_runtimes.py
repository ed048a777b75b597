"""Runtimes from a registry to a running job, through a real daemon: installed, shared, broken, in use, removed."""

import json
import os
import threading
from collections.abc import Iterator

import pytest

from api.errors import Invalid
from api.kinds import EVENT, REGISTRY, RUNTIME
from api.meta import Document
from controller.runtime.build import builder
from support.registry_fixtures import RegistryOnDisk, a_file, a_symlink, served, snapshot
from support.runtime_place import HERE, Place, a_place
from support.shell_runtime import shell_package, shell_tree

# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

NOBODY = "http://127.0.0.1:9/registry.json"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Place]:
    with a_place(tmp_path_factory.mktemp("registry")) as place:
        yield place


# Installing


@pytest.mark.invariant("I2")
def test_jobs_that_name_a_runtime_nobody_declared_get_it_installed_once_and_run(place):
    place.offer("first", "1.0.0", "1.1.0")
    for number in range(4):
        place.daemon.shell(f"first-{number}", "cat /etc/version", runtime="first")

    for number in range(4):
        assert place.daemon.ended(f"first-{number}")["resolvedRuntime"] == "first@1.1.0"
        assert place.daemon.log_of(f"first-{number}") == "first@1.1.0\n"
    assert place.server.count("first@1.1.0.tar.gz") == 1
    assert place.server.count("first@1.0.0.tar.gz") == 0
    (version,) = place.versions("first").values()
    assert (version["state"], version["registry"]) == ("Installed", "tests")
    assert version["path"] == str(place.root / "first-1.1.0")


def test_two_versions_of_a_runtime_run_side_by_side(place):
    place.offer("pair", "1.0.0", "2.0.0")
    for version in ("1.0.0", "2.0.0"):
        place.daemon.shell(f"pair-{version[0]}", "cat /etc/version; sleep 0.3", runtime=f"pair@{version}")

    for version in ("1.0.0", "2.0.0"):
        assert place.daemon.ended(f"pair-{version[0]}")["phase"] == "Succeeded"
        assert place.daemon.log_of(f"pair-{version[0]}") == f"pair@{version}\n"
    assert set(place.versions("pair")) == {"1.0.0", "2.0.0"}


@pytest.mark.parametrize(
    ("spec", "name"), [("shell:5.2", "shell-5.2"), ("shell:5.2+tiny", "shell-5.2-tiny"), ("java:17", "openjdk-17")]
)
def test_a_language_is_the_runtime_that_the_catalogue_has_for_it(place, spec, name):
    place.offer("shell-5.2", "1.0.0")
    place.offer("shell-5.2-tiny", "1.0.0")
    java = a_file("isolated/bin/java", b"#!/bin/sh\necho openjdk 17\n", 0o755)  # Or it is found not to work.
    for jdk in ("openjdk-17", "graalvmjdk-17"):
        place.registry.add(jdk, "1.0.0", shell_package(jdk, "1.0.0", java), platforms=[HERE])
    place.look_at_registry()
    place.daemon.until("the catalogue is known", lambda: place.daemon.get(REGISTRY, "tests")["status"]["versions"] >= 4)
    job = name.replace(".", "-")

    assert place.output(job, "cat /etc/version", runtime=spec) == f"{name}@1.0.0\n"


def test_a_language_that_nobody_offers_is_said_to_be_so_with_what_there_is(place):
    place.daemon.shell("cobol", "true", runtime="cobol:85")

    assert "no registry offers cobol:85" in place.waits("cobol", "RuntimeNotFound")


def test_a_job_that_may_not_install_waits_until_somebody_does(place):
    place.offer("never", "1.0.0")
    place.daemon.shell("never", "cat /etc/version", runtime="never", installPolicy="Never")

    assert "run `rnx runtime install never`; installPolicy is Never" in place.waits("never", "RuntimeNotFound")
    assert place.runtime("never") == {}
    assert place.daemon.rnx("runtime", "install", "never@1.0.0").returncode == 0
    assert place.daemon.ended("never")["phase"] == "Succeeded"


def test_a_version_that_does_not_exist_is_told_with_those_that_do(place):
    place.offer("known", "1.0.0", "1.3.5")
    place.daemon.shell("unknown", "true", runtime="known@2.1.0")

    message = place.ready("known", "RuntimeNotFound")["message"]
    assert "2.1.0" in message
    assert "1.3.5" in message
    assert "1.3.5" in place.waits("unknown", "RuntimeNotFound")


@pytest.mark.invariant("I5")
def test_a_version_that_fails_is_shown_and_keeps_no_other_back_and_heals(place):
    place.offer("mixed", "1.0.0", "4.0.0")
    place.offer("mixed", "2.0.0", checksum="sha256:" + "0" * 64)
    place.offer("mixed", "3.0.0", platforms=["plan9-mips"])
    place.declare(RUNTIME, "mixed", versions=["1.0.0", "2.0.0", "3.0.0", "4.0.0"])

    assert "the registry promised sha256:000" in place.ready("mixed", "ChecksumMismatch")["message"]
    ends = {"1.0.0": "Installed", "2.0.0": "Failed", "3.0.0": "Failed", "4.0.0": "Installed"}

    def each_has_its_end() -> dict[str, Document] | None:
        found = place.versions("mixed")
        return found if {version: each["state"] for version, each in found.items()} == ends else None

    versions = place.daemon.until(f"they are {ends}", each_has_its_end)
    assert "checksum" in versions["2.0.0"]["message"]
    assert "it supports plan9-mips" in versions["3.0.0"]["message"]
    assert place.output("mixed", "cat /etc/version", runtime="mixed@4.0.0") == "mixed@4.0.0\n"
    place.offer("mixed", "2.0.0", "3.0.0")
    place.ready("mixed")


def test_too_little_space_is_told_with_what_is_needed(place):
    place.offer("huge", "1.0.0", size=1 << 45)
    place.declare(RUNTIME, "huge", versions=["1.0.0"])

    assert "remove runtimes or files there" in place.ready("huge", "InsufficientSpace")["message"]


def test_progress_is_in_the_status_while_an_install_goes_on(place):
    place.registry.add("slow", "1.0.0", shell_package("slow", "1.0.0", a_file("noise", os.urandom(1 << 21))))
    place.registry.add(
        "slow", "1.0.0", platforms=[HERE], archive=(place.registry.path / "slow@1.0.0.tar.gz").read_bytes()
    )
    place.server.released.clear()
    place.server.stall_after = 1 << 20
    try:
        place.declare(RUNTIME, "slow", versions=["1.0.0"])
        place.ready("slow", "Installing")
        (version,) = place.versions("slow").values()
    finally:
        place.server.stall_after = None
        place.server.released.set()

    assert version["state"] == "Installing"
    assert 0 <= version["doneBytes"] < version["sizeBytes"]
    place.ready("slow")


# Running


@pytest.mark.parametrize(
    ("layout", "spec"),
    [
        ("by-language/nested-1.0", "nested-1.0"),
        ("flat", "flat"),
        ("versioned-1.2.3", "versioned@1.2.3"),
        ("deep/1.2.3", "deep@1.2.3"),
    ],
)
def test_trees_in_every_layout_that_others_wrote_are_used(place, layout, spec):
    name = spec.partition("@")[0]
    shell_tree(place.root / layout, name)

    assert place.output(f"in-{name.replace('.', '-')}", "cat /etc/version", runtime=spec) == f"{name}@unknown\n"
    assert place.runtime(name) == {}


@pytest.fixture(scope="module")
def layered(place):
    """A runtime with everything that a runtime.yml may say."""
    place.registry.add(
        "layered", "1.0.0",
        shell_package(
            "layered", "1.0.0",
            a_file("tools/hello", b"#!/bin/sh\necho hello from tools\n", 0o755),
            a_file("some/shown", b"shown"), a_file("some/real", b"through a link"), a_file("some/hidden", b"hidden"),
            a_symlink("some/link", "real"),
            a_file("state/counter", b"0\n"),
            mounts=(
                "  - {source: tools, target: /opt/tools}\n"
                "  - {source: some, target: /opt/some, selective: [shown, link]}\n"
                "  - {source: state, target: /opt/state, readonly: false}"
            ),
            rest=(
                "environment: {PATH: '/usr/bin:/bin', PATH_PREPEND: /opt/tools, BOTH: runtime, PLAIN: 3.10}\n"
                "requirements: {min_memory: 16MB}"
            ),
        ),
        platforms=[HERE],
    )  # fmt: skip


def test_path_is_prepended_and_the_jobs_environment_wins_over_the_runtimes(place, layered):
    printed = place.output(
        "environment", 'hello; echo "$PATH|$BOTH|$PLAIN|$PATH_PREPEND|$MINE"', runtime="layered",
        env=[{"name": "BOTH", "value": "job"}, {"name": "MINE", "value": "1"}],
    )  # fmt: skip

    assert printed == "hello from tools\n/opt/tools:/usr/bin:/bin|job|3.10||1\n"


def test_only_what_is_selected_is_shown(place, layered):
    assert (
        place.output("selective", "ls /opt/some; cat /opt/some/link", runtime="layered")
        == "link\nshown\nthrough a link"
    )


@pytest.mark.invariant("I6")
def test_what_a_run_writes_into_a_writable_mount_is_its_own(place, layered):
    script = "read was < /opt/state/counter; echo $was; echo $((was + 1)) > /opt/state/counter; cat /opt/state/counter"
    printed = [place.output(f"private-{number}", script, runtime="layered") for number in range(2)]

    assert printed == ["0\n1\n", "0\n1\n"]
    assert (place.root / "layered-1.0.0/state/counter").read_text() == "0\n"


@pytest.mark.invariant("I6")
def test_a_job_cannot_change_its_runtime(place, layered):
    place.output("before", "true", runtime="layered")
    before = snapshot(place.root / "layered-1.0.0")
    script = (
        "for f in /bin/x /opt/tools/hello /etc/version; do (echo > $f) 2>/dev/null && echo wrote $f; done; "
        "mkdir /usr/x /lib/x 2>/dev/null && echo made; echo tried"
    )

    assert place.output("vandal", script, runtime="layered") == "tried\n"
    assert snapshot(place.root / "layered-1.0.0") == before


def test_a_limit_below_what_the_runtime_needs_is_refused(place, layered):
    place.output("ready", "true", runtime="layered")
    place.daemon.shell("small", "true", runtime="layered", resources={"limits": {"memory": "8Mi"}})

    assert "layered@1.0.0 needs" in place.waits("small", "RequirementsNotMet")


# Removing


@pytest.mark.invariant("I4")
def test_a_runtime_in_use_goes_when_the_job_has_ended(place):
    place.offer("busy", "1.0.0")
    place.daemon.shell("busy", "sleep 0.1; while ! ls /work/go 2>/dev/null; do sleep 0.05; done", runtime="busy")
    place.daemon.running("busy")
    place.daemon.client.delete(RUNTIME, "", "busy")

    assert "busy" in place.ready("busy", "InUse")["message"]
    assert place.versions("busy")["1.0.0"]["state"] == "Removing"
    assert (place.root / "busy-1.0.0/runtime.yml").exists()
    place.daemon.stop("busy")
    place.gone(RUNTIME, "busy")
    assert not (place.root / "busy-1.0.0").exists()


def test_a_version_that_is_no_longer_wanted_goes_and_the_other_stays(place):
    place.offer("fewer", "1.0.0", "2.0.0")
    place.declare(RUNTIME, "fewer", versions=["1.0.0", "2.0.0"])
    place.ready("fewer")
    place.declare(RUNTIME, "fewer", versions=["2.0.0"])

    place.daemon.until("1.0.0 is gone", lambda: set(place.versions("fewer")) == {"2.0.0"})
    assert not (place.root / "fewer-1.0.0").exists()
    assert (place.root / "fewer-2.0.0").exists()


@pytest.mark.invariant("I3")
def test_a_tree_that_others_installed_outlives_the_object(place):
    shell_tree(place.root / "theirs-1.0.0", "theirs")
    place.declare(RUNTIME, "theirs", versions=["1.0.0"])
    place.ready("theirs")
    place.daemon.client.delete(RUNTIME, "", "theirs")

    place.gone(RUNTIME, "theirs")
    assert (place.root / "theirs-1.0.0/runtime.yml").exists()


def test_two_trees_that_claim_one_version_are_a_conflict(place):
    shell_tree(place.root / "twice-1.0.0", "twice")
    shell_tree(place.root / "twice/1.0.0", "twice")
    place.declare(RUNTIME, "twice", versions=["1.0.0"])
    place.daemon.shell("twice", "true", runtime="twice@1.0.0")

    assert "both claim to be 1.0.0" in place.ready("twice", "Conflict")["message"]
    assert "both claim it" in place.waits("twice", "RuntimeBroken")


def test_a_tree_of_ours_that_was_broken_is_installed_again(place):
    place.offer("broken", "1.0.0")
    place.output("whole", "true", runtime="broken@1.0.0")
    (place.root / "broken-1.0.0/runtime.yml").write_text("name: [")
    place.daemon.client.merge_patch(RUNTIME, "", "broken", {"metadata": {"annotations": {"look": "again"}}})

    assert place.output("healed", "cat /etc/version", runtime="broken@1.0.0") == "broken@1.0.0\n"


# Registries


def test_a_bad_name_or_version_of_a_runtime_is_refused_at_admission(place):
    with pytest.raises(Invalid, match="is not a name"):
        place.declare(RUNTIME, "Bad_Name", versions=["1.0.0"])
    with pytest.raises(Invalid) as caught:
        place.declare(RUNTIME, "fine", versions=["1.0", "", "latest", "latest"])
    assert {"spec.versions"} == {cause.field for cause in caught.value.causes}


def test_registries_are_asked_by_priority_and_a_disabled_one_is_not(place, tmp_path):
    better = RegistryOnDisk(tmp_path / "better").add(
        "ranked", "9.0.0", shell_package("ranked", "9.0.0"), platforms=[HERE]
    )
    place.offer("ranked", "1.0.0")
    place.declare(REGISTRY, "better", url=better.url, priority=5)
    place.ready("better", "Fetched", REGISTRY)
    place.declare(RUNTIME, "ranked", versions=["latest"])
    place.ready("ranked")
    assert place.versions("ranked")["9.0.0"]["registry"] == "better"

    place.declare(REGISTRY, "better", url=better.url, priority=5, enabled=False)
    place.ready("better", "Disabled", REGISTRY)
    place.declare(RUNTIME, "ranked", versions=["1.0.0"])
    place.ready("ranked")
    assert place.versions("ranked")["1.0.0"]["registry"] == "tests"
    place.daemon.client.delete(REGISTRY, "", "better")
    place.gone(REGISTRY, "better")


@pytest.mark.invariant("I7")
def test_what_came_from_a_registry_stays_when_it_goes_down_or_is_deleted(place, tmp_path):
    short = RegistryOnDisk(tmp_path / "short").add("kept", "1.0.0", shell_package("kept", "1.0.0"), platforms=[HERE])
    with served(short.path) as server:
        place.declare(REGISTRY, "short", url=f"{server.url}/registry.json", cacheSeconds=1)
        place.declare(RUNTIME, "kept", versions=["latest"], registry="short")
        place.ready("kept")
        place.ready("short", "Fetched", REGISTRY)
        server.status = 500
        place.daemon.until(
            "it is stale", lambda: place.declare(REGISTRY, "short", url=f"{server.url}/registry.json", cacheSeconds=0)
            and place.daemon.get(REGISTRY, "short")["status"]["conditions"][0]["reason"] == "Stale",
        )  # fmt: skip
        stale = place.ready("short", "Stale", REGISTRY)
        assert stale["status"] == "True"
        assert "the server answered 500" in stale["message"]
        assert place.ready("kept")["status"] == "True"
    place.daemon.client.delete(REGISTRY, "", "short")
    place.gone(REGISTRY, "short")

    place.daemon.until("it says so", lambda: "cannot tell whether" in place.ready("kept")["message"])
    assert place.output("kept", "cat /etc/version", runtime="kept") == "kept@1.0.0\n"


@pytest.mark.invariant("I7")
def test_a_registry_that_cannot_be_reached_is_its_own_trouble(place):
    place.declare(REGISTRY, "nobody", url=NOBODY, priority=100)
    place.offer("other", "1.0.0")

    assert place.ready("nobody", "Unreachable", REGISTRY)["status"] == "False"
    assert place.output("plain", "echo legacy") == "legacy\n"
    assert place.output("other", "cat /etc/version", runtime="other") == "other@1.0.0\n"


def test_an_idle_daemon_writes_nothing(place):
    """With installed, failed and waiting runtimes, and a registry that is retried."""
    place.declare(REGISTRY, "nobody", url=NOBODY)
    place.ready("nobody", "Unreachable", REGISTRY)
    nothing = threading.Event()

    def revision() -> str:
        return str(place.daemon.client.list(EVENT)["metadata"]["resourceVersion"])

    def is_quiet() -> bool:
        before = revision()
        nothing.wait(3)
        return revision() == before

    assert any(is_quiet() for _ in range(3))


# The command line


def test_rnx_installs_lists_tests_and_removes(place):
    place.offer("cli", "1.0.0", "1.1.0")
    rnx = place.daemon.rnx

    assert rnx("runtime", "install", "cli").stdout == "Runtime cli@1.1.0 installed\n"
    assert rnx("runtime", "install", "cli@1.1.0").stdout in (
        "Runtime cli@1.1.0 is already installed\n", "Runtime cli@1.1.0 installed\n",
    )  # fmt: skip
    assert rnx("runtime", "install", "cli@1.0.0").returncode == 0
    listed = rnx("runtime", "list").stdout
    assert "cli" in listed
    assert "1.0.0" in listed
    info = rnx("runtime", "info", "cli@1.0.0").stdout
    assert str(place.root / "cli-1.0.0") in info
    items = json.loads(rnx("runtime", "list", "--json").stdout)
    assert ("cli", "1.0.0", True) in {(item["name"], item["version"], item["available"]) for item in items}
    tested = rnx("runtime", "test", "cli@1.0.0", "cat", "/etc/version")
    assert tested.stdout.startswith("cli@1.0.0\n")
    assert rnx("runtime", "test", "cli@1.0.0", "no-such-program").returncode != 0
    removed = rnx("runtime", "remove", "cli@1.0.0")
    assert (removed.returncode, removed.stderr) == (0, "")
    assert not (place.root / "cli-1.0.0").exists()
    assert rnx("runtime", "remove", "cli").returncode == 0
    assert not (place.root / "cli-1.1.0").exists()
    # Another registry of this daemon may be down, and could have it: then rnx waits for that one.
    refused = rnx("runtime", "install", "cli@7.0.0", "--timeout=2")
    assert refused.returncode in (1, 4)
    assert "1.1.0" in refused.stderr


# A real language


def test_a_real_python_is_installed_and_computes(place, tmp_path):
    (built,) = builder.pack_python(tmp_path, ["3.1.4"], "real-python")
    place.declare(REGISTRY, "real", url=f"file://{tmp_path}")
    place.ready("real", "Fetched", REGISTRY)
    command = ["python", "-c", "import ssl, sqlite3, json; print(json.dumps({'sum': sum(range(10))}))"]
    place.daemon.apply("python", command=command, runtime="real-python")

    assert place.daemon.ended("python")["phase"] == "Succeeded"
    assert place.daemon.log_of("python") == '{"sum": 45}\n'
    assert place.versions("real-python")[built.version]["checksum"] == f"sha256:{built.sha256}"
