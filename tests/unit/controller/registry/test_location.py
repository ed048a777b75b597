"""Where a registry is, in all the ways people write it."""

from pathlib import Path

import pytest

from controller.engine.errors import TerminalError
from controller.registry.location import archive_url, local_path, locate

RAW = "https://raw.githubusercontent.com/ehsaniara/joblet-runtimes/main/registry.json"


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("ehsaniara/joblet-runtimes", RAW),
        ("https://github.com/ehsaniara/joblet-runtimes", RAW),
        ("https://github.com/ehsaniara/joblet-runtimes/", RAW),
        ("https://github.com/ehsaniara/joblet-runtimes.git", RAW),
        (RAW, RAW),
        ("http://127.0.0.1:8080/registry.json", "http://127.0.0.1:8080/registry.json"),
        ("https://host/runtimes/", "https://host/runtimes/registry.json"),
        ("https://host/r@2/registry.json", "https://host/r@2/registry.json"),
        ("file:///srv/runtimes", "file:///srv/runtimes/registry.json"),
        ("file:///srv/runtimes/registry.json", "file:///srv/runtimes/registry.json"),
        ("file:///srv/other.json", "file:///srv/other.json"),
        ("/srv/my runtimes", "file:///srv/my%20runtimes/registry.json"),
    ],
)
def test_every_way_to_write_a_registry_gives_its_catalogue(written: str, url: str):
    assert locate(written).url == url


def test_a_local_registry_has_a_path():
    assert locate("file:///srv/my%20runtimes").path == Path("/srv/my runtimes/registry.json")
    assert locate("https://host/registry.json").path is None


@pytest.mark.parametrize(
    "written",
    ["", "x", "a/b/c", "../b", "a/..", "ftp://host/registry.json", "https://", "file://host/srv", "file:srv", "-a/b"],
)
def test_what_is_no_registry_is_refused_with_how_to_write_one(written: str):
    with pytest.raises(TerminalError, match="OWNER/REPO") as caught:
        locate(written)
    assert caught.value.reason == "InvalidLocation"


def test_a_url_with_a_password_is_refused():
    with pytest.raises(TerminalError, match="password") as caught:
        locate("https://user:secret@host/registry.json")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("registry", "named", "url"),
    [
        ("https://h/r/registry.json", "a-1.0.0.tar.gz", "https://h/r/a-1.0.0.tar.gz"),
        ("https://h/r/registry.json", "/a.tar.gz", "https://h/a.tar.gz"),
        ("https://h/r/registry.json", "https://o/x/a@1.3.1/a-1.3.1.tar.gz", "https://o/x/a@1.3.1/a-1.3.1.tar.gz"),
        ("https://h/r/registry.json", "a@1.3.1/a.tar.gz", "https://h/r/a@1.3.1/a.tar.gz"),
        ("file:///srv/r", "a@1.0.0.tar.gz", "file:///srv/r/a@1.0.0.tar.gz"),
        ("file:///srv/r", "https://o/a.tar.gz", "https://o/a.tar.gz"),
    ],
)
def test_an_archive_is_counted_from_its_catalogue_and_keeps_its_at_sign(registry: str, named: str, url: str):
    assert archive_url(locate(registry), named) == url


@pytest.mark.parametrize("named", ["file:///etc/shadow", "ftp://h/a", "data:,x", "FILE:///etc/shadow"])
def test_a_registry_on_the_network_names_no_local_file(named: str):
    with pytest.raises(TerminalError, match="cannot download"):
        archive_url(locate("https://h/registry.json"), named)


def test_a_local_url_is_a_path():
    assert local_path("file:///srv/a%20b@1.tar.gz") == Path("/srv/a b@1.tar.gz")
    assert local_path("https://h/a") is None
