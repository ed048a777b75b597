import pytest
from pydantic import ValidationError

from api.types.runtime import Runtime
from support.objects import a_runtime


def test_without_versions_the_latest_is_wanted():
    assert Runtime.model_validate(a_runtime()).spec.versions == ("latest",)


@pytest.mark.parametrize(
    ("versions", "why"),
    [(["1.2"], "FieldValueInvalid"), (["1.2.3", "1.2.3"], "FieldValueDuplicate"), (["v1.2.3"], "FieldValueInvalid")],
)
def test_versions_are_exact_and_different(versions, why):
    with pytest.raises(ValidationError) as caught:
        Runtime.model_validate(a_runtime(versions=versions))

    assert [error["type"] for error in caught.value.errors()] == [why]


def test_pre_releases_and_builds_are_versions():
    versions = ["1.4.0-beta.1", "1.4.0+gpu", "latest"]

    assert Runtime.model_validate(a_runtime(versions=versions)).spec.versions == tuple(versions)
