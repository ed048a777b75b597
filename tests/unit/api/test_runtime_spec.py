"""The one grammar of runtime specs."""

import pytest

from api import runtime_spec
from api.runtime_spec import RuntimeSpec, SpecError, parse


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("python-3.11-ml", RuntimeSpec(name="python-3.11-ml")),
        ("openjdk-21", RuntimeSpec(name="openjdk-21")),
        ("python-3.11-ml@1.3.2", RuntimeSpec(name="python-3.11-ml", version="1.3.2")),
        ("python-3.11-ml@latest", RuntimeSpec(name="python-3.11-ml")),
        ("python-3.11-ml@", RuntimeSpec(name="python-3.11-ml")),
        ("a@1.4.0-beta", RuntimeSpec(name="a", version="1.4.0-beta")),
        ("a@^1.3", RuntimeSpec(name="a", range="^1.3")),
        ("a@>= 1.3   <2", RuntimeSpec(name="a", range=">=1.3 <2")),
        ("a@1.x||3.x", RuntimeSpec(name="a", range="1.x || 3.x")),
        ("a@1.2 - 1.4", RuntimeSpec(name="a", range="1.2 - 1.4")),
        ("a@*", RuntimeSpec(name="a", range="*")),
        ("a@1.4.0-rc.1+build.5", RuntimeSpec(name="a", version="1.4.0-rc.1+build.5")),
        ("python:3.11", RuntimeSpec(language="python", language_version="3.11")),
        ("java:17", RuntimeSpec(language="java", language_version="17")),
        ("rust:stable", RuntimeSpec(language="rust", language_version="stable")),
        ("python:3.11+ml+gpu", RuntimeSpec(language="python", language_version="3.11", tags=("gpu", "ml"))),
    ],
)
def test_every_way_to_write_a_spec_is_read(text: str, spec: RuntimeSpec):
    assert parse(text) == spec


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has no name"),
        ("@1.0.0", "it has no name"),
        ("..", "is not a name"),
        ("a..b", "is not a name"),
        ("../etc", "is not a name"),
        ("a/b", "is not a name"),
        ("Python-3.11", "is not a name"),
        ("python_3.11", "is not a name"),
        ("-a", "is not a name"),
        ("a-", "is not a name"),
        (".hidden", "is not a name"),
        ("a\n", "is not a name"),
        ("pythön", "is not a name"),
        ("a" * 65, "65 characters"),
        ("a@1.3", "is not a version"),
        ("a@v1.3.2", 'leave out the "v"'),
        ("a@1.3.2\n", "is not a version"),
        ("a@01.3.2", "is not a version"),
        ("a@1.3.2-", "is not a version"),
        ("a@1.0.0-01", "is not a version"),
        ("a@\N{ARABIC-INDIC DIGIT ONE}.0.0", "is not a version"),
        ("a@^1.3.", "is not a range"),
        ("a@2 || 3", "is not a range"),
        ("a@^1.3 ||", "is not a range"),
        ("a@^1.x-beta", "is not a range"),
        ("a@>=1,<2", "is not a range"),
        ("a@1@2", "is not a version"),
        ("python@3.11-ml", "is not a version"),
        ("python-3.11-ml+gpu", "adds a tag to LANGUAGE:VERSION"),
        ("python:", "is not a version of a language"),
        ("python:3..11", "is not a version of a language"),
        ("python:../..", "is not a version of a language"),
        (":3.11", "is not a language"),
        ("Python:3.11", "is not a language"),
        ("python:3.11@1.3.2", "goes with a name"),
        ("python:3.11+", "is not a tag"),
        ("python:3.11+M/L", "is not a tag"),
    ],
)
def test_what_is_no_spec_is_refused_with_the_reason(text: str, why: str):
    with pytest.raises(SpecError, match="cannot read") as caught:
        parse(text)

    assert why in str(caught.value)


def test_an_error_shows_no_control_characters_and_is_short():
    with pytest.raises(SpecError) as caught:
        parse("\x1b[31m" * 1000)

    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("1.9.0", "1.10.0"),
        ("1.3.1", "1.3.2"),
        ("1.3.9", "1.4.0"),
        ("1.99.99", "2.0.0"),
        ("1.0.0-alpha", "1.0.0-alpha.1"),
        ("1.0.0-alpha.1", "1.0.0-alpha.beta"),
        ("1.0.0-beta.2", "1.0.0-beta.11"),
        ("1.0.0-rc.1", "1.0.0"),
        (None, "0.0.0-0"),
    ],
)
def test_versions_order_as_semver_says(lower: str | None, higher: str):
    assert runtime_spec.version_order(lower) < runtime_spec.version_order(higher)


def test_latest_leaves_out_prereleases_unless_there_is_nothing_else():
    assert runtime_spec.latest(["1.9.0", "1.10.0", "1.11.0-beta"]) == "1.10.0"
    assert runtime_spec.latest(["1.0.0-alpha", "1.0.0-beta"]) == "1.0.0-beta"
    assert runtime_spec.latest([]) is None


@pytest.mark.parametrize(
    ("directory", "name", "version"),
    [
        ("python-3.11-ml-1.3.2", "python-3.11-ml", "1.3.2"),
        ("python-3.11", "python-3.11", None),
        ("node-18-1.4.0-beta.1+b2", "node-18", "1.4.0-beta.1+b2"),
        ("python-3.11.2-1.0.0", "python-3.11.2", "1.0.0"),
        ("1.3.2", "1.3.2", None),
    ],
)
def test_a_directory_splits_at_its_last_version(directory: str, name: str, version: str | None):
    assert runtime_spec.split_directory(directory) == (name, version)
