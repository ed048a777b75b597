"""What the API serves of runtimes beside the objects: catalogues, and logs of builds."""

import itertools
import threading
from pathlib import Path

import pytest

from api.kinds import REGISTRY, RUNTIME
from api.objects.admission import WriteOptions
from support.http import Api
from support.objects import a_runtime

ROOT = "/apis/runwright.dev/v1alpha1"
_NUMBERS = itertools.count()


class Built:
    """A Runtime of its own for each test, and its logs."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.name = f"tool{next(_NUMBERS)}"
        self.url = f"{ROOT}/runtimes/{self.name}/log"
        api.verbs.create(RUNTIME, "", a_runtime(self.name), WriteOptions())

    def file(self, version: str) -> Path:
        return self.api.store_directory / "builds" / f"{self.name}-{version}.log"

    def log(self, version: str, text: str, ending: str = "") -> None:
        self.file(version).parent.mkdir(exist_ok=True)
        with Path(f"{self.file(version)}{ending}").open("a") as file:
            file.write(text)

    def building(self, version: str, state: str) -> None:
        document = self.api.verbs.get(RUNTIME, "", self.name)
        status = {"versions": [{"version": version, "state": state}]}
        self.api.store.update_status(document | {"status": status})


@pytest.fixture
def runtime(api: Api) -> Built:
    return Built(api)


def test_a_catalogue_is_served_and_asked_anew_where_that_is_wanted(api):
    registry = {"apiVersion": RUNTIME.api_version, "kind": "Registry", "metadata": {"name": "r"}}
    api.verbs.create(REGISTRY, "", registry | {"spec": {"url": "file:///srv/r"}}, WriteOptions())

    assert api.client.get(f"{ROOT}/registries/r/catalogue").json()["refreshed"] is False
    assert api.client.get(f"{ROOT}/registries/r/catalogue?refresh=true").json()["refreshed"] is True
    assert api.client.get(f"{ROOT}/registries/none/catalogue").status_code == 404
    assert api.client.put(f"{ROOT}/registries/r/catalogue", json={}).status_code == 405


def test_the_log_of_a_build_is_served_the_older_part_first(runtime):
    runtime.log("1.0.0", "second\n")
    runtime.log("1.0.0", "first\n", ".1")

    assert runtime.api.client.get(f"{runtime.url}?version=1.0.0").text == "first\nsecond\n"


def test_without_a_version_it_is_the_build_that_was_last(runtime):
    runtime.log("2.0.0", "two\n")
    runtime.log("1.0.0", "one\n")

    assert runtime.api.client.get(f"{runtime.url}").text == "one\n"


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ("", 404, "it was not built on this host"),
        ("?version=9.9.9", 404, "@9.9.9: it was not built on this host"),
        ("?version=../../etc/passwd", 400, "it must be an exact version"),
    ],
)
def test_what_there_is_no_log_of_is_told(runtime, query, code, said):
    answer = runtime.api.client.get(f"{runtime.url}{query}")

    assert (answer.status_code, answer.json()["status"]) == (code, "Failure")
    assert said in answer.json()["message"]


def test_a_runtime_that_nobody_declared_has_no_log(api):
    assert api.client.get(f"{ROOT}/runtimes/none/log").status_code == 404


def test_a_log_is_followed_until_the_build_ends_though_it_moves_aside(runtime):
    runtime.building("1.0.0", "Installing")
    runtime.log("1.0.0", "one\n")
    seen, one_came = [], threading.Event()

    def follow() -> None:
        with runtime.api.client.stream("GET", f"{runtime.url}?follow=true") as answer:
            for line in answer.iter_lines():
                seen.append(line)
                one_came.set()

    reader = threading.Thread(target=follow)
    reader.start()
    assert one_came.wait(20)
    runtime.file("1.0.0").rename(f"{runtime.file('1.0.0')}.1")
    runtime.log("1.0.0", "two and more\n")
    runtime.building("1.0.0", "Installed")
    reader.join(20)

    assert seen == ["one", "two and more"]


def test_both_are_told_of_in_discovery(api):
    names = [entry["name"] for entry in api.client.get(ROOT).json()["resources"]]

    assert {"registries/catalogue", "runtimes/log"} <= set(names)
