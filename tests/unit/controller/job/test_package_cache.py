"""What of a run makes package managers use its cache."""

import pytest

from api.packages.manifest import PACKAGE_TOOLS
from api.types.job import Job
from controller.job import announce, environment, package_cache
from controller.job.observed import PackageCache
from controller.sandbox.spec import Bind, Scratch
from support.objects import a_job


def variables(tool, runtime=None, job=()):
    env = [{"name": name, "value": value} for name, value in job]
    cache = PackageCache(tool, "cache", "/host/cache")
    return environment.environment(Job.model_validate(a_job("etl", env=env)), 1, runtime or {}, cache)


@pytest.mark.parametrize(
    ("tool", "wanted"),
    [
        ("pip", {"PIP_CACHE_DIR": "/volumes/cache"}),
        ("npm", {"npm_config_cache": "/volumes/cache"}),
        ("yarn", {"YARN_CACHE_FOLDER": "/volumes/cache"}),
        ("maven", {"MAVEN_OPTS": "-Dmaven.repo.local=/volumes/cache"}),
        ("gradle", {"GRADLE_USER_HOME": "/volumes/cache"}),
        ("go", {"GOMODCACHE": "/volumes/cache/mod", "GOCACHE": "/volumes/cache/build"}),
        ("cargo", {"CARGO_HOME": "/volumes/cache"}),
        ("Pip", {"PIP_CACHE_DIR": "/volumes/cache"}),
    ],
)
def test_a_tool_is_told_by_its_own_variables(tool, wanted):
    assert wanted.items() <= variables(tool).items()


def test_the_tools_that_are_told_are_those_that_authors_are_not_warned_of():
    assert set(package_cache._VARIABLES) == PACKAGE_TOOLS


def test_a_tool_that_is_not_known_gets_the_volume_and_no_variable():
    assert variables("some-tool").keys() == variables("other-tool").keys()
    assert "/volumes/cache" not in " ".join(variables("some-tool").values())


def test_the_job_and_the_runtime_may_say_otherwise():
    assert variables("pip", job=[("PIP_CACHE_DIR", "/work/c")])["PIP_CACHE_DIR"] == "/work/c"
    assert variables("pip", {"PIP_CACHE_DIR": "/opt/c"})["PIP_CACHE_DIR"] == "/opt/c"
    own = {"MAVEN_OPTS": "-Dmaven.repo.local=/opt/m2"}
    assert variables("maven", own)["MAVEN_OPTS"] == own["MAVEN_OPTS"]


def test_a_kept_cache_is_mounted_and_another_is_a_directory_in_memory():
    kept = package_cache.mount(PackageCache("pip", "c", "/host/c"), 4096)
    assert kept == Bind("/host/c", "/volumes/c", read_only=False, neutral_owners=True)
    assert package_cache.mount(PackageCache("pip", "c", problem="why"), 4096) == Scratch("/volumes/c", 4096)


def change_to(package_cache_told):
    run = {"attempt": 1, "state": "Pending", "packageCache": package_cache_told}
    return {"status": {"runs": [run]}}, {"status": {"runs": [{**run, "state": "Running"}]}}


def test_a_cache_that_is_kept_for_nobody_is_an_event_of_each_run_that_has_it():
    said = [(item.type, item.reason, item.message) for item in announce.news(*change_to("private: no disk can"))]

    assert ("Warning", "CacheIsPrivate", "run 1: no disk can") in said
    assert [item.reason for item in announce.news(*change_to("/volumes/pip-cache"))] == ["Started"]
