"""Declared builds of Debian packages, from an archive of the test's own that is signed, without the network.

Its packages are those of this host, packed again, and small ones of the test.
"""

import shutil
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api import conditions
from api.conditions import Condition
from api.kinds import RUNTIME
from api.meta import API_VERSION, Document
from controller.engine.errors import TransientError
from controller.runtime.build import apt, debian, host_tree
from support import debs
from support import host as host_support
from support.apt_archive import AptArchive
from support.building import Building, changed, listing
from support.daemon import a_daemon
from support.debs import a_deb
from support.declaring import a_declaring, locked, said_in
from support.openpgp import SigningKey
from support.python_index import a_python_index, a_source, a_wheel, index
from support.registry_fixtures import served

HAS_APT = shutil.which("apt-get") is not None and shutil.which("dpkg") is not None
pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.timeout(300),  # dpkg waits for the disk a great deal: where others use it too, long.
    pytest.mark.elsewhere("hosts of other distributions have no apt to resolve Debian packages with"),
    pytest.mark.skipif(not HAS_APT, reason="this host has no apt: it is no Debian"),
]
HAS_PYTHON = HAS_APT and bool(debs.version_here("python3"))
PYTHON = ("python3", "ca-certificates")
PIP_OF_DEBIAN = Path("/usr/share/python-wheels")
STATIC = {"base": {"language": "static", "from": "debian"}}
GREET = "#!/bin/sh\necho greetings $(cat /usr/share/greet/who)\n"


def greet(version: str, **fields: str) -> debs.Deb:
    files = {"/usr/bin/greet": GREET, "/usr/share/doc/greet/README": "not wanted\n", "/etc/greet.conf": "a\n"}
    return a_deb("greet", version, files, Depends="greet-data (>= 1)", **fields)


GREETING = (
    greet("1.2-1"),
    greet("1.10-1"),
    a_deb(
        "greet-data", "1:2.0", {"/usr/share/greet/template": "the world\n"},
        {"postinst": "#!/bin/sh\nset -e\ncp /usr/share/greet/template /usr/share/greet/who\n"},
    ),
    a_deb("broken", "1", {"/usr/share/broken": ""}, {"postinst": "#!/bin/sh\necho it cannot be set up >&2\nexit 9\n"}),
    a_deb("build-essential", "1", {"/usr/bin/a-compiler": ""}),
    a_deb("python3-dev", "99", {"/usr/include/a-header.h": ""}),
    a_deb("lsb-base", "99", {"/usr/share/a-transition": ""}),
    a_deb("a-service", "1", {"/usr/bin/a-service": GREET}, Depends="lsb-base"),
    a_deb("openjdk-17-jdk-headless", "17", {"/usr/bin/java": ""}),
    a_deb("openjdk-9-jdk-headless", "9", {"/usr/bin/java": ""}, Depends="openjdk-8-jdk-headless"),
    a_deb("openjdk-17-jre-headless", "17", {"/usr/bin/java": ""}),
    a_deb("lonely", "1", {"/usr/share/lonely": ""}, Depends="nobody-has-it"),
)  # fmt: skip


WHEEL = a_wheel("greetings", "1.0")
COMPILED = a_source("compiled", "2.0", 'open("/usr/bin/a-compiler").close()')
PLACES = ("/var/lib/dpkg", "/etc/apt", "/var/lib/apt", "/var/cache/apt", "/etc/greet.conf")


def the_pip() -> debs.Deb:
    """Return Debian's package of pip, as far as builds need it: the pip that this host's Python brings along."""
    wheel = host_tree.find_pip((Path(sysconfig.get_path("stdlib")) / "ensurepip/_bundled", PIP_OF_DEBIAN))
    assert wheel is not None, "no pip came with this Python: scripts/make-venv sees to it"
    with zipfile.ZipFile(wheel) as archive:
        files = {f"/usr/lib/python3/dist-packages/{name}": archive.read(name) for name in archive.namelist()}
    return a_deb("python3-pip", "1", files, Depends="python3")


@pytest.fixture(scope="module")
def archive() -> Iterator[AptArchive]:
    """An archive with all that a build needs of Debian, whatever it is of."""
    directory = host_support.directory_on_disk("runwright-test-apt-")
    needed = [*debs.essential_names(), *debian.BASE, *apt.TOOLS, *(PYTHON if HAS_PYTHON else ())]
    try:
        archive = AptArchive(directory)
        archive.write([*debs.of_this_host(needed), *GREETING, the_pip()])
        yield archive
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def other(archive) -> Iterator[AptArchive]:
    """The same archive again, to be changed."""
    directory = host_support.directory_on_disk("runwright-test-apt-")
    try:
        yield archive.copy_to(directory)
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def declaring(building, tmp_path):
    with a_declaring(building, tmp_path) as declaring:
        yield declaring


def test_a_package_named_with_its_version_comes_on_top_of_this_hosts_files(declaring, archive):
    tree = declaring.install({"base": {"from": "host"}, "apt": ["greet=1.2-1"]}, archive.environment)

    assert said_in(tree, "/usr/bin/greet") == "greetings the world\n"
    versions = {name: each["version"] for name, each in locked(tree, "debian_packages").items()}
    assert versions == {"greet": "1.2-1", "greet-data": "1:2.0"}


@dataclass(frozen=True)
class DebiansPython:
    """A runtime that is Debian's Python with packages of both kinds, and what its build has changed on the host.

    Where this host's Python is no package of Debian's, it is one without.
    """

    tree: Path
    changed: list[str]


@pytest.fixture(scope="module")
def debians_python(archive, tmp_path_factory) -> Iterator[DebiansPython]:
    building = Building.at(host_support.directory_on_disk("runwright-test-"))
    directory = host_support.directory_on_disk("runwright-test-apt-")
    before = listing(*PLACES)
    more = (
        {"base": {"language": "python"}, "pip": ["greetings", "compiled"]}
        if HAS_PYTHON
        else {"base": {"from": "debian"}}
    )
    declared = {"apt": ["greet", "a-service"], **more}
    try:
        other = archive.copy_to(directory)
        with (
            a_declaring(building, tmp_path_factory.mktemp("home")) as declaring,
            served(directory) as server,
            a_python_index(WHEEL, COMPILED) as pip,
        ):
            other.url = server.url
            other.configure()
            tree = declaring.install(declared, {**other.environment, **index(pip)})
            yield DebiansPython(tree, changed(before, listing(*PLACES)))
    finally:
        shutil.rmtree(directory)
        building.close()


@pytest.mark.skipif("lsb-base" not in debs.provided_here("sysvinit-utils"), reason="it is no package that provides it")
def test_what_an_essential_package_provides_too_is_chosen_once_and_for_all(debians_python):
    """As PostgreSQL depends on lsb-base, which is a package and is provided by sysvinit-utils."""
    packages = locked(debians_python.tree, "debian_packages")
    assert packages["lsb-base"]["version"] == "99"
    assert (debians_python.tree / "isolated/usr/share/a-transition").exists()


@pytest.mark.invariant("B1")
@pytest.mark.skipif(not HAS_PYTHON, reason="the Python of this host is no package of Debian's")
def test_debians_python_gets_packages_of_both_kinds_nothing_of_the_tools_is_kept_and_the_host_is_as_it_was(
    debians_python,
):
    tree = debians_python.tree
    assert debians_python.changed == []
    said = said_in(tree, "/usr/bin/python3", "-I", "-c", "import greetings, ssl; print(greetings.VERSION)")
    assert said == "1.0\n"
    assert said_in(tree, "/usr/bin/greet") == "greetings the world\n"
    packages = locked(tree, "debian_packages")
    assert packages["python3"]["version"] == debs.version_here("python3")
    assert (packages["greet"]["version"], packages["greet-data"]["version"]) == ("1.10-1", "1:2.0")
    assert packages["greet"]["hash"] == f"sha256:{GREETING[1].sha256}"
    assert packages["bash"]["version"] == debs.version_here("bash")
    assert {"ca-certificates", "libc6"} <= set(packages)
    assert not {"apt", "debconf", "dpkg", "perl-base", "python3-pip"} & set(packages)
    assert not (tree / "isolated/usr/share/doc/greet").exists()
    hashes = {name: package["hash"] for name, package in locked(tree, "python_packages").items()}
    assert hashes == {each.project: f"sha256:{each.sha256}" for each in (WHEEL, COMPILED)}
    assert {path.name for path in (tree / "isolated").rglob("a-*")} == {"a-service", "a-transition"}
    assert not list((tree / "isolated/usr/lib/python3").rglob("pip"))
    assert (tree / "isolated/etc/ssl/certs/ca-certificates.crt").stat().st_size > 1000


@pytest.mark.invariant("B6")
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("greet=1.3-1", "E: Version '1.3-1' for 'greet' was not found"),
        ("no-such-package", "E: Unable to locate package no-such-package"),
        ("lonely", "lonely : Depends: nobody-has-it but it is not installable"),
    ],
)
def test_what_the_archive_has_not_fails_the_build_with_the_words_of_apt(declaring, archive, asked, said):
    assert said in declaring.refused({"apt": [asked]}, archive.environment)


@pytest.mark.invariant("B6")
@pytest.mark.parametrize(
    ("language", "version", "has"),
    [("java", "8", "java 9, 17"), ("java", "17.0.2", "java 9, 17"), ("go", "1.19", "no version of go")],
)
def test_a_version_of_a_language_that_the_archive_has_not_is_refused_with_those_it_has(
    declaring, archive, language, version, has
):
    said = declaring.refused({"base": {"language": language, "version": version}}, archive.environment)

    why = f"the package archive has {has}, not {version}: change spec.build.base.version, or use another base"
    assert f"cannot build from debian: {why}" in said


@pytest.mark.invariant("B6")
@pytest.mark.skipif(not HAS_PYTHON, reason="the Python of this host is no package of Debian's")
def test_a_version_of_python_that_the_archive_has_not_is_refused_with_the_one_it_has(declaring, archive):
    said = declaring.refused({"base": {"language": "python", "version": "3.2"}}, archive.environment)

    there = ".".join(debs.version_here("python3").split(".")[:2])
    assert f"the package archive has python 3, {there}, not 3.2: change spec.build.base.version" in said


@pytest.mark.invariant("B6")
def test_a_package_that_cannot_be_configured_fails_the_build(declaring, archive):
    said = declaring.refused(STATIC | {"apt": ["broken"]}, archive.environment)

    assert "cannot install the Debian packages in the build's root" in said
    assert "it cannot be set up" in said


def test_an_archive_that_another_key_has_signed_is_refused(declaring, other):
    other.configure(trusted=SigningKey())

    assert "is not signed" in declaring.refused({"apt": ["greet"]}, other.environment)


def test_an_archive_whose_signed_text_was_changed_is_refused(declaring, other):
    release = other.directory / "InRelease"
    release.write_bytes(release.read_bytes().replace(b"Label: a test", b"Label: a tesT"))

    assert "is not signed" in declaring.refused({"apt": ["greet"]}, other.environment)


def test_an_archive_without_a_signature_is_refused(declaring, other):
    lines = (other.directory / "InRelease").read_text().split("\n\n")[1].split("-----")[0]
    (other.directory / "InRelease").unlink()
    (other.directory / "Release").write_text(lines)

    assert "is not signed" in declaring.refused({"apt": ["greet"]}, other.environment)


def test_an_index_that_is_not_the_signed_one_is_refused(declaring, other):
    index = other.directory / "Packages"
    index.write_bytes(index.read_bytes().replace(b"greet", b"Greet"))

    assert "Hash Sum mismatch" in declaring.refused({"apt": ["greet"]}, other.environment, TransientError)


def test_a_package_that_is_not_the_signed_one_is_refused(declaring, other):
    file = other.directory / "pool" / GREETING[1].file
    file.unlink()
    file.write_bytes(GREETING[1].data.replace(b"echo greetings", b"echo other-wor"))

    assert "Hash Sum mismatch" in declaring.refused({"apt": ["greet"]}, other.environment, TransientError)


# httpcore leaves a socket to the garbage collector when a connection is refused, which is what dead daemons do.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_daemon_takes_the_archive_that_its_variable_names_and_the_runtime_says_why_it_is_not_built(
    archive, monkeypatch, host_is_clean
):
    monkeypatch.setenv(*next(iter(archive.environment.items())))
    spec = {"versions": ["1.0.0"], "build": STATIC | {"apt": ["greet=1.3-1"]}}
    with a_daemon("runtime.default_registry=") as daemon:
        document = {"apiVersion": API_VERSION, "kind": "Runtime", "metadata": {"name": "greet"}, "spec": spec}
        daemon.client.apply(RUNTIME, "", document)
        ready = daemon.until("the build has failed", lambda: failed(daemon.get(RUNTIME, "greet")), 120)

    assert "E: Version '1.3-1' for 'greet' was not found" in ready.message


def failed(document: Document) -> Condition | None:
    """Return the condition that says that the build of a runtime has failed; None before it does."""
    found = [Condition.model_validate(each) for each in document.get("status", {}).get("conditions", ())]
    ready = conditions.find(found, "Ready")
    return ready if ready is not None and ready.reason == "BuildFailed" else None
