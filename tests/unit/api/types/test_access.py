import pytest
from pydantic import ValidationError

from api.types.access import TokenScope

SCOPE = {"verbs": ["get"], "resources": ["jobs"], "resourceNames": ["etl"], "namespaces": ["team"]}


@pytest.mark.parametrize("member", SCOPE)
def test_what_a_token_is_for_is_never_nothing(member):
    """A namespace of no name would be what is in none, and all of them at once."""
    assert TokenScope.model_validate(SCOPE).namespaces == ("team",)

    with pytest.raises(ValidationError, match="must not be empty: name one, or leave it out"):
        TokenScope.model_validate(SCOPE | {member: [*SCOPE[member], ""]})


def test_the_group_of_core_kinds_has_no_name():
    assert TokenScope.model_validate(SCOPE | {"apiGroups": [""]}).api_groups == ("",)
