"""What builds are shown for apt to work as it is configured."""

from pathlib import Path

import pytest

from controller.runtime.build import apt_config


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A root of a host, on which there is something at every place that the tests name."""
    for directory in ("srv/apt/sources.list.d", "data/mirror", "opt/keys", "etc/apt/sources.list.d", "var/lib/mirror"):
        (tmp_path / directory).mkdir(parents=True)
    for file in ("opt/keys/a.gpg", "opt/keys/b.asc", "opt/ca.pem", "usr/share/keyrings/debian.gpg", "opt/list"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
    return tmp_path


def shown(host: Path, environment: dict[str, str] | None = None) -> list[str]:
    found = apt_config.shares(environment or {}, host)
    assert all(real == host / inside.lstrip("/") for real, inside in found)
    return [inside for _, inside in found]


def test_a_host_with_archives_on_the_network_alone_shows_nothing_more(host):
    (host / "etc/apt/sources.list").write_text("deb https://host/data/mirror a main\n# deb file:/data/mirror ./\n")

    assert shown(host) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", "deb [trusted=no signed-by=/opt/keys/a.gpg,/opt/keys/b.asc] file:/data/mirror ./\n"),
        ("sources.list", "deb [signed-by=/opt/keys/a.gpg,/opt/keys/b.asc arch=amd64] copy:///data/mirror/ a main\n"),
        (
            "sources.list.d/x.sources",
            "Types: deb\nURIs: file:/data/mirror\nSuites: ./\nSigned-By: /opt/keys/a.gpg /opt/keys/b.asc\n",
        ),
    ],
)
def test_archives_on_a_disk_and_keys_beside_the_systems_are_shown(host, name, text):
    (host / "etc/apt" / name).write_text(text)

    assert shown(host) == ["/data/mirror", "/opt/keys/a.gpg", "/opt/keys/b.asc"]


def test_what_is_named_in_the_place_of_etc_apt_is_shown_and_read(host):
    (host / "opt/apt.conf").write_text('Dir::Etc "/srv/apt";\nAcquire::https::host::CAInfo "/opt/ca.pem";\n')
    (host / "srv/apt/sources.list.d/a.list").write_text("deb file:/var/lib/mirror ./\n")
    (host / "etc/apt/sources.list").write_text("deb file:/data/mirror ./\n")

    assert shown(host, {"APT_CONFIG": "/opt/apt.conf"}) == ["/opt/ca.pem", "/srv/apt", "/var/lib/mirror"]


def test_a_single_list_in_the_place_of_the_others_is_shown_and_read(host):
    (host / "opt/apt.conf").write_text('Dir::Etc::sourcelist "/opt/list";\n')
    (host / "opt/list").write_text("deb file:/data/mirror ./\n")

    assert shown(host, {"APT_CONFIG": "/opt/apt.conf"}) == ["/data/mirror", "/opt/list"]


@pytest.mark.parametrize(
    "uri",
    [
        "file:/",
        "file:/var",
        "file:/var/lib",
        "file:/tmp",
        "file:/usr/mirror",
        "file:/data/../etc",
        "file:/nothing",
        "file:/./",
        "file:/.",
        "file://var",
        "file:///var",
        "file:/var//lib",
        "file:/./var/lib/.",
        "file://usr/mirror",
        "file:/usr/./mirror",
        "file:/var/lib//",
    ],
)
def test_no_directory_of_the_system_itself_is_shown(host, uri):
    for directory in ("tmp", "usr/mirror"):
        (host / directory).mkdir(exist_ok=True)
    (host / "etc/apt/sources.list").write_text(f"deb {uri} ./\n")

    assert shown(host) == []


@pytest.mark.parametrize("to", ["..", "../.", "../var", "../etc", "../usr/lib", "../data/..", "../../.."])
def test_no_directory_of_the_system_itself_is_shown_by_another_name(host, to):
    (host / "usr/lib").mkdir(parents=True)
    (host / "srv/rel").symlink_to(to)
    (host / "etc/apt/sources.list").write_text("deb file:/srv/rel ./\ndeb file:/srv//rel ./\n")

    assert shown(host) == []


def test_a_place_that_is_written_in_many_ways_is_shown_once(host):
    uris = ("file:/data/mirror", "file:/data//mirror/", "copy:///data/./mirror", "file:/./data/mirror/.")
    (host / "etc/apt/sources.list").write_text("".join(f"deb {uri} ./\n" for uri in uris))

    assert shown(host) == ["/data/mirror"]


def test_a_mirror_behind_a_link_is_shown_where_it_is_looked_for(host):
    (host / "mnt").mkdir()
    (host / "mnt/mirror").symlink_to(host / "data/mirror")
    (host / "etc/apt/sources.list").write_text("deb file:/mnt/mirror ./\n")

    assert apt_config.shares({}, host) == ((host / "data/mirror", "/mnt/mirror"),)
