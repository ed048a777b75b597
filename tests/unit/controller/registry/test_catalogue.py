"""registry.json, good and bad, and looking things up in it."""

import json
from typing import Any

import pytest

from controller.engine.errors import TransientError
from controller.registry import catalogue
from controller.registry.catalogue import InvalidCatalogue, RuntimeNotFound

SHA = "ab" * 32
GOOD = {
    "version": "1.3.1",
    "description": "GraalVM CE 21 with native-image for AOT compilation",
    "download_url": "https://github.com/o/r/releases/download/graalvmjdk-21@1.3.1/graalvmjdk-21-1.3.1.tar.gz",
    "checksum": f"sha256:{SHA}",
    "size": 5550,
    "platforms": ["ubuntu-amd64", "ubuntu-arm64", "rhel-amd64"],
}


def a_catalogue(runtimes: Any, **more: Any) -> catalogue.Catalogue:
    return catalogue.parse(json.dumps({"version": "1", "runtimes": runtimes, **more}).encode())


def with_versions(*versions: str) -> catalogue.Catalogue:
    return a_catalogue({"a": {version: {**GOOD, "version": version} for version in versions}})


def test_an_entry_is_read_and_unknown_keys_are_ignored():
    found = a_catalogue(
        {"graalvmjdk-21": {"1.3.1": {**GOOD, "signature": "x"}}}, _comment="AUTO-GENERATED", updated_at="2025-12-02"
    )

    entry = found.entries["graalvmjdk-21"]["1.3.1"]
    assert entry.sha256 == SHA
    assert entry.size_bytes == 5550
    assert "@1.3.1" in entry.download_url
    assert found.updated_at == "2025-12-02"
    assert found.problems == ()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "it is not JSON"),
        (b"<html>", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "it must be an object"),
        (b"{}", 'we read version "1"'),
        (b'{"version": "2", "runtimes": {}}', 'its version is "2"'),
        (b'{"version": 1, "runtimes": {}}', "its version is 1"),
        (b'{"version": "1"}', "runtimes must be an object"),
        (b'{"version": "1", "runtimes": []}', "runtimes must be an object"),
    ],
)
def test_what_is_no_catalogue_is_refused_with_the_reason(body: bytes, why: str):
    with pytest.raises(InvalidCatalogue, match="cannot read registry") as caught:
        catalogue.parse(body)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("name", "version", "changed", "problem"),
    [
        ("A_b", "1.0.0", {}, 'runtimes["A_b"]: "A_b" is not a name'),
        ("../x", "1.0.0", {}, 'runtimes["../x"]: "../x" is not a name'),
        ("a", "1.0", {"version": "1.0"}, 'runtimes["a"]["1.0"]: is not a version'),
        ("a", "1.0.0", {"version": "1.0.1"}, 'runtimes["a"]["1.0.0"].version: is "1.0.1", its key is "1.0.0"'),
        ("a", "1.0.0", {"checksum": ""}, 'runtimes["a"]["1.0.0"].checksum: must be'),
        ("a", "1.0.0", {"checksum": "md5:" + "a" * 32}, ".checksum: must be"),
        ("a", "1.0.0", {"checksum": 7}, ".checksum: must be a text"),
        ("a", "1.0.0", {"download_url": ""}, ".download_url: must be"),
        ("a", "1.0.0", {"download_url": "https://h/a\nb"}, ".download_url: must be"),
        ("a", "1.0.0", {"size": -1}, ".size: must be"),
        ("a", "1.0.0", {"size": True}, ".size: must be"),
        ("a", "1.0.0", {"size": "5"}, ".size: must be"),
        ("a", "1.0.0", {"platforms": "ubuntu"}, ".platforms: must be"),
    ],
)
def test_a_bad_entry_is_reported_by_its_path_and_costs_no_other(
    name: str, version: str, changed: dict[str, Any], problem: str
):
    bad = {**GOOD, "version": version, **changed}
    found = a_catalogue({name: {version: bad}, "good": {"1.3.1": GOOD}})

    assert set(found.entries) == {"good"}
    assert len(found.problems) == 1
    assert problem in found.problems[0]


def test_a_bad_version_costs_no_other_version():
    found = a_catalogue({"a": {"1.3.1": GOOD, "1.3.2": {**GOOD, "checksum": "x"}, "1.3.3": "x"}, "b": []})

    assert set(found.entries["a"]) == {"1.3.1"}
    assert len(found.problems) == 3


def test_a_bare_checksum_and_an_unknown_size_are_accepted():
    found = a_catalogue({"a": {"1.3.1": {**GOOD, "checksum": SHA.upper(), "size": 0}}})

    assert found.entries["a"]["1.3.1"].sha256 == SHA
    assert found.entries["a"]["1.3.1"].size_bytes is None


@pytest.mark.parametrize(
    ("versions", "latest"),
    [
        (("1.9.0", "1.10.0"), "1.10.0"),
        (("1.3.1", "1.3.2"), "1.3.2"),
        (("1.4.0", "1.3.9"), "1.4.0"),
        (("1.99.99", "2.0.0"), "2.0.0"),
        (("1.3.1", "1.4.0-beta"), "1.3.1"),
        (("1.4.0-alpha", "1.4.0-beta"), "1.4.0-beta"),
    ],
)
def test_the_latest_is_the_highest_release(versions: tuple[str, ...], latest: str):
    assert catalogue.find(with_versions(*versions), "a", None).version == latest


def test_a_prerelease_is_found_when_it_is_asked_for():
    assert catalogue.find(with_versions("1.3.1", "1.4.0-beta"), "a", "1.4.0-beta").version == "1.4.0-beta"


def test_a_runtime_that_is_not_there_is_told_with_what_is():
    with pytest.raises(RuntimeNotFound, match='runtime "x" not found in registry') as caught:
        catalogue.find(with_versions("1.0.0"), "x", None)
    assert "(available: a)" in str(caught.value)
    assert isinstance(caught.value, TransientError)
    assert caught.value.reason == "RuntimeNotFound"


def test_a_version_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(RuntimeNotFound) as caught:
        catalogue.find(with_versions("1.9.0", "1.10.0"), "a", "2.1.0")
    assert str(caught.value) == 'version "2.1.0" not found for runtime "a" (available: 1.9.0, 1.10.0)'


def test_a_platform_that_is_not_supported_is_told_with_those_that_are():
    entry = with_versions("1.0.0").entries["a"]["1.0.0"]

    assert catalogue.why_unsupported(entry, "ubuntu-amd64") == ""
    assert catalogue.why_unsupported(entry, "amzn-arm64") == (
        "a@1.0.0 does not support this platform, amzn-arm64: it supports ubuntu-amd64, ubuntu-arm64, rhel-amd64"
    )
