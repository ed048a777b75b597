import subprocess
import sys

import pytest

from api import kinds
from api.definition import Definition
from api.kind import Kind
from api.types.job import Job

ALL = (*kinds.KINDS, *kinds.PROJECTED, *kinds.FOR_CLIENTS)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.resource)
def test_a_kind_is_defined_where_its_row_says(kind):
    said = kind.type.model_fields["api_version"].default, kind.type.model_fields["kind"].default

    assert said == (kind.api_version, kind.name)


def test_a_definition_is_imported_when_it_is_asked_for_and_no_earlier():
    script = (
        "import sys; from api.kinds import SECRET; before = 'api.types.secret' in sys.modules; "
        "SECRET.type; print(before, 'api.types.secret' in sys.modules, 'api.types.job' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "True", "False"]


def test_a_server_imports_them_all_before_it_begins():
    script = "import sys; from api import kinds; kinds.import_definitions(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert {kind.defined.partition(":")[0] for kind in ALL} <= set(done.stdout.split())


def test_a_kind_may_bring_its_definition_along():
    assert Kind("Toy", "toys", (), True, Definition(Job)).type is Job


def test_what_is_no_definition_is_refused_by_where_it_is():
    with pytest.raises(TypeError, match="api.types.job:Job is not the definition of a kind"):
        _ = Kind("Toy", "toys", (), True, "api.types.job:Job").type
