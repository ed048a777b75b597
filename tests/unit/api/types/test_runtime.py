"""What a Runtime and a RuntimeTemplate may say."""

import json

import pytest
from pydantic import ValidationError

from api.kinds import RUNTIME
from api.objects import causes
from api.types.runtime import MADE_SOURCES, Runtime
from api.types.runtime_template import RuntimeTemplate
from support.objects import a_runtime

ARCHIVE = {"url": "/x.tar.gz", "checksum": "sha256:" + "0" * 64}
MADE = {
    "archive": ARCHIVE,
    "recipe": {"url": "/recipes/x"},
    "build": {},
    "extends": {"runtimes": ["python-3.11"]},
    "template": {"name": "python"},
}


def read(**spec) -> Runtime:
    """As admission reads it."""
    return Runtime.model_validate_json(json.dumps(a_runtime(**spec)), strict=True)


def refused(**spec) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        read(**spec)
    return [str(cause) for cause in causes.of(caught.value)]


def test_without_versions_the_latest_is_wanted():
    assert read().spec.versions == ("latest",)
    assert read(registry="x").spec.versions == ("latest",)


@pytest.mark.parametrize(
    ("versions", "why"),
    [
        (["1.2"], "FieldValueInvalid"),
        (["1.2.3", "1.2.3"], "FieldValueDuplicate"),
        (["v1.2.3"], "FieldValueInvalid"),
        (["^1.2,<2"], "FieldValueInvalid"),
        (["^1.2", "^ 1.2"], "FieldValueDuplicate"),
    ],
)
def test_versions_are_exact_or_ranges_and_different(versions, why):
    with pytest.raises(ValidationError) as caught:
        read(versions=versions)

    assert [error["type"] for error in caught.value.errors()] == [why]


def test_pre_releases_builds_and_ranges_are_versions():
    versions = ["1.4.0-beta.1", "1.4.0+gpu", "latest", "^1.3", ">=1.3 <2", "1.x || 3.x"]

    assert read(versions=versions).spec.versions == tuple(versions)


def test_every_source_but_registries_is_known_to_make_one_version():
    assert set(MADE) == set(MADE_SOURCES)


@pytest.mark.parametrize("source", MADE_SOURCES)
def test_what_is_made_is_of_one_version_which_need_not_be_named(source):
    assert read(**{source: MADE[source]}).spec.versions == ("1.0.0",)
    assert read(**{source: MADE[source]}, versions=["2.1.0"]).spec.versions == ("2.1.0",)
    assert read(**{source: MADE[source]}).spec.made_by == source
    columns = {column.name: column.cell for column in RUNTIME.definition.columns}
    assert columns["Wanted"](a_runtime(**{source: MADE[source]})) == "1.0.0"


@pytest.mark.parametrize("versions", [["latest"], ["^1.0"], ["1.0.0", "2.0.0"], []])
@pytest.mark.parametrize("source", MADE_SOURCES)
def test_what_is_made_is_of_no_other_number_of_versions(source, versions):
    (why,) = refused(**{source: MADE[source]}, versions=versions)

    assert why.startswith("spec.versions: Invalid value")
    assert f"must be the one exact version that spec.{source} makes, such as 1.0.0" in why


def test_of_two_sources_the_later_one_is_told_of_with_all_else_that_is_wrong():
    assert refused(registry="x", archive=ARCHIVE, build={}, versions=["1.0.0"], retain=-1) == [
        "spec.archive: Forbidden: may not be set together with spec.registry: keep one",
        "spec.build: Forbidden: may not be set together with spec.registry: keep one",
        "spec.retain: Invalid value: -1: must be greater than or equal to 0",
    ]


@pytest.mark.parametrize(
    ("extends", "why"),
    [
        ({"runtimes": []}, "spec.extends.runtimes: Required value"),
        ({"runtimes": ["python:3.11"]}, "must name runtimes"),
        ({"runtimes": ["a", "a@1.0.0"]}, "a runtime is there twice"),
        ({"runtimes": ["a"], "environment": {"JOB_ID": "1"}}, "may not be the name of a variable"),
        ({"runtimes": ["a"], "mounts": [{"source": "../x", "target": "/x"}]}, "must be relative to the tree"),
        ({"runtimes": ["a"], "mounts": [{"source": "x", "target": "/x/../y"}]}, "must be an absolute path"),
        ({"runtimes": ["a"], "files": [{"path": "/x"}]}, "needs exactly one of text and base64"),
    ],
)
def test_a_composition_says_what_it_is_made_of(extends, why):
    (said,) = refused(extends=extends)

    assert why in said


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ([{"name": "1x"}], "must be letters, digits and _"),
        ([{"name": "a"}, {"name": "a"}], '"a" is there twice'),
        ([{"name": "a", "default": "c", "allowed": ["b"]}], "its default is not one of the values"),
    ],
)
def test_a_templates_parameters_have_names_and_defaults_that_are_allowed(parameters, why):
    document = {"metadata": {"name": "t"}, "spec": {"parameters": parameters}}

    with pytest.raises(ValidationError, match=why):
        RuntimeTemplate.model_validate_json(json.dumps(document), strict=True)


@pytest.mark.parametrize("source", ["archive", "recipe"])
@pytest.mark.parametrize("who", ["anna:s3cret", "s3cret"])
def test_a_password_in_the_address_of_an_archive_is_refused_and_not_repeated(source, who):
    url = f"https://{who}@h/x.tar.gz"
    (said,) = refused(versions=["1.2.3"], **{source: {"url": url, "checksum": "sha256:" + "0" * 64}})

    assert said.startswith(f'spec.{source}.url: Invalid value: "https://(hidden)@h/x.tar.gz": must be without')
    assert "s3cret" not in said
