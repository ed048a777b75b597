"""Installing and removing versions."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.engine.errors import TerminalError, TransientError
from controller.runtime.sources.registry import Package
from controller.runtime.trees import install, origin, tree
from controller.runtime.trees.install import Host
from support.registry_fixtures import (
    RegistryOnDisk,
    a_file,
    a_host,
    a_manifest,
    a_package,
    a_symlink,
    a_tree,
    an_archive,
    served,
    snapshot,
)


@pytest.fixture
def registry(tmp_path: Path) -> RegistryOnDisk:
    return RegistryOnDisk(tmp_path / "registry").add("a", "1.0.0").add("a", "1.1.0")


def seen(host: Host) -> list[str]:
    """Return what anyone sees in the root, hidden things left out."""
    return sorted(name for name in os.listdir(host.root) if not name.startswith(".")) if host.root.exists() else []


def staged(host: Host) -> list[str]:
    path = host.root / origin.STAGING
    return os.listdir(path) if path.exists() else []


def refusal(package: Package, host: Host, kind: type[Exception]) -> str:
    """Install `package`, which must fail and leave nothing behind; return the message."""
    before = seen(host)
    with pytest.raises(kind) as caught:
        install.install(package, host)
    assert seen(host) == before
    assert staged(host) == []
    return str(caught.value)


def bad(registry: RegistryOnDisk, archive: bytes, **changed: Any) -> Package:
    return registry.add("bad", "1.0.0", archive, **changed).package("bad")


def test_what_is_installed_is_there_whole_and_can_be_found(host: Host, registry: RegistryOnDisk):
    installed = install.install(registry.package("a"), host)

    assert installed.path == host.root / "a-1.1.0"
    assert installed.message == "Runtime a@1.1.0 is installed"
    assert (installed.path / "isolated" / "etc" / "version").read_text() == "1.1.0"
    (found,) = tree.scan(host.root)
    assert (found.name, found.version, found.problems) == ("a", "1.1.0", ())


def test_installing_it_again_does_nothing(host: Host, registry: RegistryOnDisk):
    install.install(registry.package("a"), host)
    before = snapshot(host.root)
    (registry.path / "a@1.1.0.tar.gz").unlink()

    again = install.install(registry.package("a"), host)

    assert again.was_there
    assert again.message == "Runtime a@1.1.0 is already installed"
    assert snapshot(host.root) == before


def test_versions_lie_side_by_side(host: Host, registry: RegistryOnDisk):
    install.install(registry.package("a", "1.0.0"), host)
    first = snapshot(host.root / "a-1.0.0")
    install.install(registry.package("a", "1.1.0"), host)

    assert seen(host) == ["a-1.0.0", "a-1.1.0"]
    assert snapshot(host.root / "a-1.0.0") == first


@pytest.mark.parametrize("layout", ["a", "a/1.0.0", "x/a-1.0.0"])
def test_a_version_in_another_layout_counts_as_installed(host: Host, registry: RegistryOnDisk, layout: str):
    a_tree(host.root / layout, "a")
    installed = install.install(registry.package("a", "1.0.0"), host)

    # A tree of no version is not this version.
    assert installed.was_there == (layout != "a")


def test_where_it_came_from_is_kept_beside_it(host: Host, registry: RegistryOnDisk):
    package = registry.package("a", "1.0.0")
    install.install(package, host)

    known = origin.read(host.root, "a", "1.0.0")
    assert known is not None
    assert (known.registry, known.url, known.sha256) == ("test", package.url, package.entry.sha256)
    assert known.archive_bytes == package.entry.size_bytes
    assert known.installed_at == "2026-01-02T03:04:05Z"
    assert origin.read(host.root, "a", "9.9.9") is None


def test_a_registry_that_changed_a_version_is_reported_and_changes_nothing(host: Host, registry: RegistryOnDisk):
    install.install(registry.package("a", "1.0.0"), host)
    registry.add("a", "1.0.0", a_package("a", "1.0.0-other"))

    again = install.install(registry.package("a", "1.0.0"), host)

    assert "a version must not change" in again.warning
    assert (again.path / "isolated" / "etc" / "version").read_text() == "1.0.0"


def test_a_directory_around_the_tree_is_taken_off(host: Host, registry: RegistryOnDisk):
    package = bad(registry, a_package("bad", wrapper="bad"))

    assert (install.install(package, host).path / "runtime.yml").is_file()


def test_progress_counts_to_the_size_of_the_archive(host: Host, registry: RegistryOnDisk):
    registry.add("big", "1.0.0", a_package("big", "1.0.0", a_file("noise", os.urandom(1 << 20))))
    package = registry.package("big")
    told: list[tuple[int, int | None]] = []
    install.install(package, host, progress=lambda done, total: told.append((done, total)))

    size = package.entry.size_bytes
    assert told[-1] == (size, size)
    assert told == sorted(told)
    assert len(told) > 3


def test_a_platform_that_is_not_supported_is_refused_with_those_that_are(host: Host, registry: RegistryOnDisk):
    package = bad(registry, a_package("bad"), platforms=["rhel-amd64", "amzn-arm64"])

    message = refusal(package, host, TerminalError)
    assert "does not support this platform, ubuntu-amd64: it supports rhel-amd64, amzn-arm64" in message


def test_a_manifest_for_another_architecture_is_refused(host: Host, registry: RegistryOnDisk):
    manifest = a_manifest("bad", more="requirements: {architectures: [aarch64]}\n")
    package = bad(registry, an_archive(a_file("runtime.yml", manifest), a_file("isolated/bin/x")))

    assert "it is made for aarch64, not for amd64" in refusal(package, host, TerminalError)


def test_too_little_space_is_refused_with_what_is_needed_and_what_is_free(tmp_path: Path, registry: RegistryOnDisk):
    with a_host(tmp_path / "root", space_floor_bytes=1 << 60) as host:
        message = refusal(registry.package("a"), host, TransientError)

    assert "needs 1099511627776 MiB free and has" in message


def test_three_times_the_archive_must_be_free(host: Host, registry: RegistryOnDisk):
    package = registry.package("a")
    package = replace(package, entry=replace(package.entry, size_bytes=1 << 49))

    assert "free and has" in refusal(package, host, TransientError)


def test_a_wrong_checksum_is_refused_with_both(host: Host, registry: RegistryOnDisk):
    archive = a_package("bad")
    message = refusal(bad(registry, archive, checksum="sha256:" + "0" * 64), host, TransientError)

    assert hashlib.sha256(archive).hexdigest() in message
    assert "0" * 64 in message


@pytest.mark.parametrize("difference", [-1, 1, 1000])
def test_a_wrong_size_is_refused(host: Host, registry: RegistryOnDisk, difference: int):
    archive = a_package("bad")
    message = refusal(bad(registry, archive, size=len(archive) + difference), host, TransientError)

    assert f"the registry promised {len(archive) + difference}" in message


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (an_archive(a_file("README")), "Invalid runtime package: no runtime.yml or setup.sh found after extraction"),
        (an_archive(a_file("a/manifest.yaml"), a_file("a/setup.sh")), "not a prebuilt tree: this host builds none"),
        (an_archive(a_file("runtime.yml", b"name: [")), "it is not YAML"),
        (
            an_archive(a_file("runtime.yml", a_manifest("bad"))),
            "cannot mount isolated/bin at /bin: it is not in the tree",
        ),
        (an_archive(a_file("runtime.yml", a_manifest("other")), a_file("isolated/bin/x")), "make them agree"),
        (an_archive(a_file("runtime.yml"), a_symlink("x", "/etc")), "the link x -> /etc is absolute"),
        (an_archive(a_file("../x")), "leads out of the tree"),
    ],
)
def test_a_bad_package_is_refused_with_the_reason(host: Host, registry: RegistryOnDisk, archive: bytes, why: str):
    assert why in refusal(bad(registry, archive), host, TerminalError)


def test_a_bad_package_leaves_the_versions_before_it_alone(host: Host, registry: RegistryOnDisk):
    install.install(registry.package("a", "1.0.0"), host)
    before = snapshot(host.root / "a-1.0.0")
    registry.add("a", "2.0.0", an_archive(a_file("../x")))

    refusal(registry.package("a"), host, TerminalError)
    assert snapshot(host.root / "a-1.0.0") == before


def test_force_puts_a_new_tree_in_place_of_the_old_one(host: Host, registry: RegistryOnDisk):
    path = install.install(registry.package("a", "1.0.0"), host).path
    (path / "isolated" / "etc" / "version").write_text("spoilt")

    installed = install.install(registry.package("a", "1.0.0"), host, force=True)

    assert not installed.was_there
    assert (path / "isolated" / "etc" / "version").read_text() == "1.0.0"
    assert staged(host) == []


def test_a_failing_force_leaves_the_old_tree(host: Host, registry: RegistryOnDisk):
    install.install(registry.package("a", "1.0.0"), host)
    before = snapshot(host.root / "a-1.0.0")
    registry.add("a", "1.0.0", a_package("a")[:-100])

    with pytest.raises(TransientError):
        install.install(registry.package("a", "1.0.0"), host, force=True)
    assert snapshot(host.root / "a-1.0.0") == before


@pytest.mark.parametrize("layout", ["a-1.0.0", "a/1.0.0", "x/a-1.0.0"])
def test_force_never_replaces_what_others_put_there(host: Host, registry: RegistryOnDisk, layout: str):
    a_tree(host.root / layout, "a")
    before = snapshot(host.root)

    with pytest.raises(TransientError, match="is in the way and was not installed by us: remove it") as caught:
        install.install(registry.package("a", "1.0.0"), host, force=True)
    assert caught.value.reason == "Conflict"
    assert {name: what for name, what in snapshot(host.root).items() if not name.startswith(".")} == before


def test_a_broken_tree_of_ours_is_replaced(host: Host, registry: RegistryOnDisk):
    path = install.install(registry.package("a", "1.0.0"), host).path
    whole = snapshot(path)
    (path / "runtime.yml").unlink()

    assert not install.install(registry.package("a", "1.0.0"), host).was_there
    assert snapshot(path) == whole


@pytest.mark.invariant("I3")
def test_a_broken_tree_of_others_is_not_replaced(host: Host, registry: RegistryOnDisk):
    (host.root / "a-1.0.0" / "isolated").mkdir(parents=True)

    with pytest.raises(TransientError, match="is in the way"):
        install.install(registry.package("a", "1.0.0"), host)
    assert (host.root / "a-1.0.0" / "isolated").is_dir()


@pytest.mark.invariant("I1")
def test_while_a_tree_is_replaced_there_is_always_one(host: Host, registry: RegistryOnDisk):
    """Some thread looks all the time: a rename away and one back would be seen between them."""
    path = install.install(registry.package("a", "1.0.0"), host).path
    done, gaps = threading.Event(), []

    def look() -> None:
        while not done.is_set():
            if not os.path.lexists(path / "runtime.yml"):
                gaps.append(1)

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        for _ in range(20):
            install.install(registry.package("a", "1.0.0"), host, force=True)
        done.set()
        looking.result()

    assert gaps == []


def test_over_http_it_is_the_same_and_the_at_sign_is_not_mangled(host: Host, registry: RegistryOnDisk):
    with served(registry.path) as server:
        installed = install.install(registry.package("a", url=f"{server.url}/registry.json"), host)

    assert server.requests == ["/a@1.1.0.tar.gz"]
    assert tree.scan(host.root)[0].path == installed.path


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ({"status": 500}, "the server answered 500"),
        ({"status": 404}, "the server answered 404"),
        ({"cut_after": 100}, "cannot read"),
        ({"lie_about_length": 5}, "the registry promised"),
    ],
)
def test_a_server_that_misbehaves_is_an_error_to_try_again(
    host: Host, registry: RegistryOnDisk, behaviour: dict[str, int], why: str
):
    with served(registry.path) as server:
        package = registry.package("a", url=f"{server.url}/registry.json")
        for name, value in behaviour.items():
            setattr(server, name, value)
        assert why in refusal(package, host, TransientError)


def test_a_size_that_differs_from_the_servers_is_refused_before_anything_is_unpacked(
    host: Host, registry: RegistryOnDisk
):
    registry.add("bad", "1.0.0", a_package("bad"), size=10)
    told: list[int] = []
    with served(registry.path) as server:
        package = registry.package("bad", url=f"{server.url}/registry.json")
        with pytest.raises(TransientError, match="the registry promised 10"):
            install.install(package, host, progress=lambda done, total: told.append(done))

    assert told == []


def test_an_archive_longer_than_it_said_is_cut_off(host: Host, registry: RegistryOnDisk):
    archive = a_package("bad")
    package = bad(registry, archive + b"\0" * 1000, size=len(archive), checksum=hashlib.sha256(archive).hexdigest())

    assert f"it has {len(archive) + 1000} bytes" in refusal(package, host, TransientError)


@pytest.mark.invariant("I2")
def test_threads_that_want_one_version_download_it_once(host: Host, registry: RegistryOnDisk):
    with served(registry.path) as server:
        server.gate = threading.Event()
        package = registry.package("a", url=f"{server.url}/registry.json")
        with ThreadPoolExecutor(6) as pool:
            wanted = [pool.submit(install.install, package, host) for _ in range(6)]
            server.gate.set()
            results = [one.result() for one in wanted]

    assert server.count(".tar.gz") == 1
    assert sorted(result.was_there for result in results) == [False, True, True, True, True, True]


def test_several_versions_are_installed_at_once(host: Host, registry: RegistryOnDisk):
    for n in range(6):
        registry.add("b", f"1.{n}.0")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: install.install(registry.package("b", f"1.{n}.0"), host), range(6)))

    assert seen(host) == [f"b-1.{n}.0" for n in range(6)]


def test_who_does_not_want_to_wait_is_told_that_it_is_in_progress(host: Host, registry: RegistryOnDisk):
    with served(registry.path) as server:
        server.gate = threading.Event()
        package = registry.package("a", url=f"{server.url}/registry.json")
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(install.install, package, host)
            assert server.arrived.wait(10)
            with pytest.raises(TransientError, match="it is being changed already") as caught:
                install.install(package, host, wait=False)
            server.gate.set()
            first.result()

    assert caught.value.reason == "InstallInProgress"


def test_a_running_install_is_not_cleaned_away(host: Host, registry: RegistryOnDisk):
    with served(registry.path) as server:
        server.gate = threading.Event()
        package = registry.package("a", url=f"{server.url}/registry.json")
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(install.install, package, host)
            assert server.arrived.wait(10)
            assert install.clean_staging(host.root) == ()
            server.gate.set()
            assert not first.result().was_there


def test_leftovers_are_cleaned_and_named(host: Host):
    a_tree(host.root / origin.STAGING / "a-1.0.0" / "tree", "a")

    assert install.clean_staging(host.root) == ("a-1.0.0",)
    assert install.clean_staging(host.root) == ()
    assert install.clean_staging(host.root / "missing") == ()


def test_a_removed_version_is_gone_and_the_others_are_not(host: Host, registry: RegistryOnDisk):
    install.install(registry.package("a", "1.0.0"), host)
    install.install(registry.package("a", "1.1.0"), host)

    assert install.remove(host.root, "a", "1.0.0")
    assert seen(host) == ["a-1.1.0"]
    assert staged(host) == []
    assert origin.read(host.root, "a", "1.0.0") is None
    assert not install.remove(host.root, "a", "1.0.0")


@pytest.mark.invariant("I3")
@pytest.mark.parametrize("layout", ["a-1.0.0", "a/1.0.0", "x/a-1.0.0"])
def test_a_version_that_others_put_there_is_not_removed(host: Host, layout: str):
    a_tree(host.root / layout, "a")

    assert not install.remove(host.root, "a", "1.0.0")
    assert (host.root / layout / "runtime.yml").is_file()


def test_of_two_trees_of_one_version_only_ours_is_removed(host: Host, registry: RegistryOnDisk):
    install.install(registry.package("a", "1.0.0"), host)
    a_tree(host.root / "a" / "1.0.0", "a")

    assert install.remove(host.root, "a", "1.0.0")
    assert seen(host) == ["a"]


def test_a_record_whose_tree_never_came_is_forgotten_with_the_leftovers(host: Host, registry: RegistryOnDisk):
    """Or a tree that somebody puts there later would be taken for ours."""
    install.install(registry.package("a", "1.0.0"), host)
    (host.root / origin.STAGING / "a-1.0.0").mkdir()
    os.rename(host.root / "a-1.0.0", host.root / origin.STAGING / "a-1.0.0" / "removed")

    assert install.clean_staging(host.root) == ("a-1.0.0",)
    assert origin.read(host.root, "a", "1.0.0") is None


@pytest.mark.parametrize(
    ("name", "version"), [("..", "1.0.0"), (".", "1.0.0"), ("a/../..", "1.0.0"), ("a", "../x"), ("", "1.0.0")]
)
def test_a_name_that_leads_elsewhere_removes_nothing(host: Host, tmp_path: Path, name: str, version: str):
    (tmp_path / "precious").write_text("")

    with pytest.raises(ValueError, match=r"is not a|it has no name"):
        install.remove(host.root, name, version)
    assert (tmp_path / "precious").exists()
