"""What is asked of apt, and what is understood of its answers."""

import pytest

from controller.engine.errors import TerminalError
from controller.runtime.build import apt
from controller.runtime.build.apt import Deb, Resolved


def test_a_package_with_an_epoch_is_found_under_the_name_that_apt_gives_its_file():
    assert Deb("zlib1g", "1:1.2.13.dfsg-1", "amd64").file == "zlib1g_1%3a1.2.13.dfsg-1_amd64.deb"


def test_what_apt_resolved_is_read_in_the_order_that_it_would_install():
    said = (
        "Reading package lists...",
        "#runwright offers 1.19",
        "#runwright offers 1.20",
        "#runwright essential",
        "Inst libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64]) []",
        "Conf libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64])",
        "#runwright wanted",
        "Inst zlib1g:amd64 (1:1.2.13.dfsg-1 Debian:12.15/oldstable, Debian-Security:12/oldstable [amd64])",
        "Inst ca-certificates (20250419~deb12u2 Debian:12.15/oldstable [all])",
        "#runwright everything",
        "#runwright download",
        "Inst ignored (1 Debian [all])",
    )

    assert apt.parse(said) == Resolved(
        essential=(Deb("libc6", "2.36-9+deb12u14", "amd64"),),
        wanted=(Deb("zlib1g", "1:1.2.13.dfsg-1", "amd64"), Deb("ca-certificates", "20250419~deb12u2", "all")),
        needed=(),
        everything=(),
        offered=("1.19", "1.20"),
    )


@pytest.mark.parametrize(
    "name",
    ["", "-o=Dir::Etc=/x", "libc6-", "a; rm -rf /", "UPPER", "x$(id)", "a=", "a=1;x", "a b", "?essential", "lib*"],
)
def test_what_is_no_package_is_refused_before_apt_sees_it(name):
    with pytest.raises(TerminalError, match="it is no Debian package: write NAME or NAME=VERSION"):
        apt.script("amd64", [name], [])


@pytest.mark.parametrize(
    "name", ["g++", "libc6", "python3.11", "libstdc++6=12.2.0-14+deb12u1", "zlib1g=1:1.2.13.dfsg-1"]
)
def test_names_and_pinned_versions_go_to_apt_as_they_are(name):
    assert f"resolve install {name} dpkg perl-base " in apt.script("amd64", [name], [])


def test_what_versions_there_are_is_asked_before_anything_is_resolved():
    script = apt.script("amd64", ["golang-1.19-go"], [], apt.Versioned("golang-{v}-go", "1.19"))

    assert r"s/^golang-\([0-9.]*[0-9]\)-go$/\1/p" in script
    assert script.index("grep -qxF '1.19' offered || exit 0") < script.index("#runwright essential")
    assert "offered" not in apt.script("amd64", ["golang-1.19-go"], [])


def test_nothing_is_taken_from_an_archive_whose_signature_does_not_fit():
    script = apt.script("arm64", ["bash"], [])

    assert "Acquire::AllowInsecureRepositories=false" in script
    assert "APT::Get::AllowUnauthenticated=false" in script
    assert "APT::Architecture=arm64" in script


def test_a_package_that_only_configures_others_is_wanted_when_it_is_named():
    assert "for name in adduser debconf dpkg " in apt.script("amd64", ["bash"], [])
    assert "for name in adduser debconf init" in apt.script("amd64", ["dpkg"], [])


def test_what_cannot_be_resolved_is_told_at_length_and_packages_of_local_archives_are_copied():
    script = apt.script("amd64", ["bash"], [])

    assert "apt -q=1 --simulate" in script
    assert "Dir::Bin::Methods::file=copy" in script
