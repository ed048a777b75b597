"""Recipes, from a package to an installed runtime, through install and the real build sandbox."""

import gzip
import hashlib
import os
import stat

import pytest

from api.types.runtime_sources import BuildLimits
from controller.cgroup.limits import Limits
from controller.engine.errors import TerminalError, TransientError
from controller.runtime.build.build_log import read
from controller.runtime.build.recipe import RecipeSource, limits_of, script_for, variables
from controller.runtime.trees import install
from support.building import A_MANIFEST, a_recipe, changed, listing
from support.registry_fixtures import PLATFORM, RegistryOnDisk, a_file, a_host, an_archive

pytestmark = pytest.mark.needs_root


@pytest.fixture
def host(building):
    with a_host(building.directory / "runtimes", build_recipe=building.recipes(PLATFORM)) as host:
        yield host


def a_source(url, **changed):
    fields = {"name": "a", "version": "1.0.0", "url": str(url), "checksum": "", "env": (), "resources": BuildLimits()}
    return RecipeSource(**(fields | changed))


def packed(script, name="setup.sh"):
    return an_archive(
        a_file(f"a/{name}", script.encode(), 0o755), a_file("a/manifest.yaml", b"name: a\nversion: 1.0.0\n")
    )


def test_a_recipe_of_a_registry_is_built_and_installed(building, host):
    registry = RegistryOnDisk(building.directory / "registry")
    registry.add(
        "a", "1.0.0", packed(A_MANIFEST + "cp /bin/true isolated/usr/bin/tool; ln -s /usr/bin/tool isolated/usr/bin/t")
    )
    said: list[str] = []

    done = install.install(registry.package("a", "1.0.0"), host, log=said.append)

    assert sorted(os.listdir(done.path)) == ["isolated", "runtime.yml"]
    tool = (done.path / "isolated/usr/bin/tool").stat()
    assert (tool.st_uid, stat.S_IMODE(tool.st_mode)) == (0, 0o755)
    assert said[-1] == "runwright: it ended with exit code 0"
    assert list(read(building.host.logs, "a-1.0.0")) == said
    assert os.listdir(host.root / ".staging") == []


def test_a_mount_that_the_script_did_not_fill_is_an_empty_directory_and_said_to_be(building, host):
    """Joblet skips such mounts without a word, and its own recipes have them."""
    manifest = A_MANIFEST.replace("}]", "}, {source: isolated/sbin, target: /sbin}]")
    package = a_recipe(building.directory / "package", manifest)
    said: list[str] = []

    done = install.install(a_source(package), host, log=said.append)

    assert os.listdir(done.path / "isolated/sbin") == []
    assert [line for line in said if "isolated/sbin" in line] == [
        "runwright: runtime.yml mounts isolated/sbin, which the script did not make: it is an empty directory"
    ]


def test_no_mount_makes_a_directory_behind_a_link_out_of_the_tree(building, host):
    manifest = A_MANIFEST.replace("}]", "}, {source: isolated/x/made-by-a-test, target: /opt/y}]")
    package = a_recipe(building.directory / "package", manifest + "ln -s /etc isolated/x")

    with pytest.raises(TerminalError, match="isolated/x/made-by-a-test"):
        install.install(a_source(package), host)

    assert not os.path.lexists("/etc/made-by-a-test")


def test_a_recipe_finds_what_joblets_server_gives_it(building, host):
    package = a_recipe(building.directory / "package", "", "setup.sh")
    script = A_MANIFEST + "env | sort; echo cwd=$OLDPWD; ls $OLDPWD; id -u; test -t 0 || echo no terminal"
    a_recipe(package, script, f"setup-{PLATFORM}.sh")
    said: list[str] = []

    install.install(a_source(package, env=(("MORE", "of it"),)), host, log=said.append)

    for name, value in variables("a", "1.0.0", "install-1767323045").items():
        assert f"{name}={value}" in said
    assert {"MORE=of it", "cwd=/tmp/runtime-source", f"setup-{PLATFORM}.sh", "setup.sh", "0", "no terminal"} <= set(
        said
    )


@pytest.mark.invariant("B1")
def test_what_a_script_does_beside_its_tree_is_gone(building, host):
    before = listing("/etc", "/var/lib/dpkg", "/usr/bin", "/usr/local", "/opt")
    package = a_recipe(
        building.directory / "package",
        A_MANIFEST
        + "touch /etc/evil /opt/joblet/other; rm -rf /usr/local /var/lib/dpkg; mkdir /opt/joblet/runtimes/b; exit 0",
    )

    done = install.install(a_source(package), host)

    assert changed(before, listing("/etc", "/var/lib/dpkg", "/usr/bin", "/usr/local", "/opt")) == []
    assert os.listdir(package) == ["setup.sh"]
    assert sorted(entry for entry in os.listdir(host.root) if not entry.startswith(".")) == [done.path.name]


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ("echo first; echo the reason >&2; exit 3", TerminalError, "ended with status 3: first | the reason"),
        ("false; echo not reached", TerminalError, "ended with status 1: it said nothing"),
        ("no-such-command", TerminalError, "no-such-command: command not found"),
        ("echo Temporary failure in name resolution; exit 1", TransientError, "Temporary failure in name resolution"),
        ("echo done", TerminalError, "left no /opt/joblet/runtimes/a/runtime.yml: it said last: done"),
        ("mkdir -p /opt/joblet/runtimes/a; ln -s /etc/passwd /opt/joblet/runtimes/a/runtime.yml", TerminalError, "left no"),
        ("rmdir /opt/joblet/runtimes; ln -s /etc /opt/joblet/runtimes", TerminalError, "left no"),
        ("kill -9 $$", TerminalError, "it was ended by SIGKILL"),
        (A_MANIFEST + "ln -s /etc/passwd out", TerminalError, "the link out -> /etc/passwd is absolute"),
    ],
)  # fmt: skip
@pytest.mark.invariant("B5")
def test_a_recipe_that_fails_fails_with_its_own_words_and_leaves_nothing(building, host, script, kind, said):
    package = a_recipe(building.directory / "package", script)

    with pytest.raises(kind, match=r"cannot (build a@1.0.0|use what the build made)") as failed:
        install.install(a_source(package), host)

    assert said in failed.value.message
    assert [entry for entry in os.listdir(host.root) if not entry.startswith(".")] == []
    assert os.listdir(host.root / ".staging") == []
    assert list(read(building.host.logs, "a-1.0.0")) != []


def test_a_recipe_has_limits_and_a_deadline_of_its_own(building, host):
    package = a_recipe(building.directory / "package", "sleep 600")

    with pytest.raises(TerminalError, match="longer than its 1 seconds"):
        install.install(a_source(package, resources=BuildLimits(timeout_seconds=1)), host)

    (package / "setup.sh").write_text("tail /dev/zero")
    limits = BuildLimits.model_validate({"limits": {"memory": "64Mi"}})
    with pytest.raises(TerminalError, match="more memory than its limit"):
        install.install(a_source(package, resources=limits), host)


def test_a_recipe_for_other_platforms_is_refused_with_what_it_has(building, host):
    package = a_recipe(building.directory / "package", "", "setup-rhel-arm64.sh")

    with pytest.raises(TerminalError, match="its scripts: setup-rhel-arm64.sh") as refused:
        install.install(a_source(package), host)

    assert refused.value.reason == "PlatformUnsupported"


def test_a_recipe_comes_as_an_archive_too_and_its_checksum_counts(building, host):
    archive = building.directory / "a.tar.gz"
    archive.write_bytes(packed(A_MANIFEST))
    right = hashlib.sha256(archive.read_bytes()).hexdigest()

    with pytest.raises(TransientError, match="checksum"):
        install.install(a_source(archive, checksum=hashlib.sha256(gzip.compress(b"")).hexdigest()), host)
    install.install(a_source(archive, checksum=right), host)
    done = install.install(a_source(f"file://{archive}", fingerprint="new"), host)

    assert not done.was_there


def test_more_output_than_any_log_holds_is_no_trouble(building, host):
    package = a_recipe(
        building.directory / "package", A_MANIFEST + "yes 'some output of a talkative build' | head -n 400000"
    )

    install.install(a_source(package), host)

    assert sum(file.stat().st_size for file in building.host.logs.iterdir()) <= 17 << 20


def test_what_a_script_leaves_open_or_deep_is_no_trouble(building, host):
    deep = "python3 - <<'E'\nimport os\nfor _ in range(3000):\n os.mkdir('d'); os.chdir('d')\nE\n"
    package = a_recipe(
        building.directory / "package", A_MANIFEST + "(sleep 600; echo late) & cd /tmp; " + deep + "cd /; exit 0"
    )

    done = install.install(a_source(package), host)

    assert (done.path / "runtime.yml").is_file()


def test_limits_that_are_not_asked_for_are_the_hosts():
    asked = BuildLimits.model_validate({"limits": {"cpu": "500m"}})

    assert limits_of(asked, Limits(1 << 30, None, 100)) == Limits(1 << 30, 500, 100)


def test_a_limit_that_a_build_cannot_be_held_to_is_refused():
    asked = BuildLimits.model_validate({"limits": {"ephemeral-storage": "1Gi"}})

    with pytest.raises(TerminalError, match="cannot limit the ephemeral-storage of a build"):
        limits_of(asked, Limits(None, None, None))


def test_a_package_without_scripts_has_none_for_any_platform():
    assert script_for("ubuntu-amd64", ["manifest.yaml", "setup-rhel-amd64.sh"]) is None


@pytest.mark.slow
def test_apt_and_pip_work_and_leave_the_host_as_it_was(building, host):
    before = listing("/etc", "/var/lib/dpkg", "/usr", "/opt", content=True)
    package = a_recipe(
        building.directory / "package",
        A_MANIFEST
        + "apt-get update; apt-get install -y --no-install-recommends hello; cp /usr/bin/hello isolated/usr/bin/\n"
        "python3 -m pip install --break-system-packages --no-deps --target isolated/usr/lib six\n"
        "useradd somebody; test -d isolated/usr/lib/six.py -o -f isolated/usr/lib/six.py\n",
    )

    done = install.install(a_source(package), host)

    assert (done.path / "isolated/usr/bin/hello").is_file()
    assert changed(before, listing("/etc", "/var/lib/dpkg", "/usr", "/opt", content=True)) == []
