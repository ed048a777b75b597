from datetime import UTC, datetime

import pytest

from api.errors import Invalid
from api.kinds import RUNTIME
from api.objects import writes
from api.runtime_requests import ASKED_BY_JOBS, ASKED_BY_RUNTIMES, ASKING_MANAGERS
from support.objects import a_runtime, by

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
BUILD = {"base": {"language": "python", "version": "3.11"}}
ME = by("me")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def asked(verbs, *versions, manager=ASKED_BY_JOBS):
    """Have versions of a runtime be asked for in passing, as a job that needs them does."""
    return verbs.apply(RUNTIME, "", "ml", a_runtime("ml", versions=list(versions)), by(manager)).document


def by_apply(verbs, build):
    return verbs.apply(RUNTIME, "", "ml", a_runtime("ml", build=build) | {"spec": {"build": build}}, ME).document


def by_replace(verbs, build):
    live = verbs.get(RUNTIME, "", "ml")
    return verbs.replace(RUNTIME, "", "ml", live | {"spec": live["spec"] | {"build": build}}, ME).document


def by_merge_patch(verbs, build):
    return verbs.patch(RUNTIME, "", "ml", {"spec": {"build": build}}, MERGE, ME).document


def by_json_patch(verbs, build):
    change = [{"op": "add", "path": "/spec/build", "value": build}]
    return verbs.patch(RUNTIME, "", "ml", change, JSON_PATCH, ME).document


WAYS = pytest.mark.parametrize("declare", [by_apply, by_replace, by_merge_patch, by_json_patch])


def managers(document):
    return {entry["manager"] for entry in document["metadata"]["managedFields"]}


@WAYS
@pytest.mark.parametrize("manager", sorted(ASKING_MANAGERS))
def test_what_was_asked_for_in_passing_gives_way_to_a_build_however_it_is_written(verbs, declare, manager):
    asked(verbs, "latest", manager=manager)

    declared = declare(verbs, BUILD)

    assert declared["spec"]["build"]["base"]["language"] == "python"
    assert declared["spec"].get("versions", ["1.0.0"]) == ["1.0.0"]
    assert managers(declared) == {"me"}


@WAYS
def test_several_requests_of_several_askers_give_way_at_once(verbs, declare):
    asked(verbs, "latest", "1.3.1")
    asked(verbs, "^2", manager=ASKED_BY_RUNTIMES)

    declared = declare(verbs, BUILD)

    assert declared["spec"].get("versions", ["1.0.0"]) == ["1.0.0"]


@WAYS
def test_a_version_that_somebody_declared_stays_beside_requests_that_go(verbs, declare):
    verbs.apply(RUNTIME, "", "ml", a_runtime("ml", versions=["1.3.1"]), by("author"))
    asked(verbs, "latest")

    declared = declare(verbs, BUILD)

    assert declared["spec"]["versions"] == ["1.3.1"]
    assert managers(declared) == {"author", "me"}


@WAYS
def test_what_a_person_declared_too_does_not_give_way(verbs, declare):
    verbs.apply(RUNTIME, "", "ml", a_runtime("ml", versions=["latest"]), by("author"))
    asked(verbs, "latest")

    with pytest.raises(Invalid, match="must be the one exact version that spec.build makes"):
        declare(verbs, BUILD)


@pytest.mark.parametrize("content_type", [MERGE, JSON_PATCH])
def test_a_patch_that_names_versions_itself_is_taken_at_its_word(verbs, content_type):
    asked(verbs, "2.0.0")
    named = {"spec": {"build": BUILD, "versions": ["2.0.0"]}}
    change = [{"op": "add", "path": f"/spec/{name}", "value": value} for name, value in named["spec"].items()]

    declared = verbs.patch(RUNTIME, "", "ml", named if content_type == MERGE else change, content_type, ME).document

    assert declared["spec"]["versions"] == ["2.0.0"]


def test_a_patch_that_names_versions_that_cannot_be_made_is_refused(verbs):
    asked(verbs, "latest")

    with pytest.raises(Invalid, match="must be the one exact version that spec.build makes"):
        verbs.patch(RUNTIME, "", "ml", {"spec": {"build": BUILD, "versions": ["latest", "1.0.0"]}}, MERGE, ME)


def test_an_update_that_declares_no_source_leaves_the_requests(verbs):
    asked(verbs, "latest")

    patched = verbs.patch(RUNTIME, "", "ml", {"spec": {"retain": 2}}, MERGE, ME).document

    assert patched["spec"]["versions"] == ["latest"]
    assert ASKED_BY_JOBS in managers(patched)


def test_who_asks_in_passing_makes_nothing_give_way(verbs):
    asked(verbs, "latest")

    with pytest.raises(Invalid, match="must be the one exact version that spec.build makes"):
        verbs.patch(RUNTIME, "", "ml", {"spec": {"build": BUILD}}, MERGE, by(ASKED_BY_RUNTIMES))


def test_a_status_that_is_written_gives_way_to_nothing(verbs):
    live = asked(verbs, "latest")
    status = {"observedGeneration": 1}

    written = writes.for_update(RUNTIME, live, live | {"status": status}, ME, NOW, "status")

    assert (written["spec"]["versions"], written["status"]) == (["latest"], status)
