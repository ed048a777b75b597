"""Whatever a file of a CDI directory holds: it is a spec, or it is refused with its name; nothing else happens."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.devices import cdi, directories
from controller.devices.cdi import InvalidCdi, Spec
from support.cdi import a_device, a_spec

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just("/dev/x"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
HOOK = {"hookName": "createContainer", "path": "/x", "args": ["a"], "env": ["A=B"], "timeout": 1}
MOUNT = {"hostPath": "/a", "containerPath": "/b", "options": ["ro"], "type": "bind"}
WHOLE = a_spec(a_device("0", env=["A=1"], mounts=[MOUNT], hooks=[HOOK]), env=["B=2"])


def places(value, above=()):
    """Every path into a document."""
    yield above
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield from places(member, (*above, name))


def changed(place, value):
    document = json.loads(json.dumps(WHOLE))
    if not place:
        return value
    inside = document
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = value
    return document


def spec_or_refusal(read):
    try:
        return read()
    except InvalidCdi as error:
        return str(error)


@given(st.sampled_from(list(places(WHOLE))), VALUES)
@settings(max_examples=300, deadline=None)
def test_a_spec_with_anything_anywhere_is_read_or_refused_by_name(place, value):
    read = spec_or_refusal(lambda: cdi.parse(changed(place, value), "/etc/cdi/a.json"))

    assert isinstance(read, Spec) or read.startswith("cannot use /etc/cdi/a.json: ")


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), st.sampled_from((".json", ".yaml")))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_a_spec_or_refused_with_the_files_name(tmp_path_factory, content, ending):
    path = tmp_path_factory.getbasetemp() / f"spec{ending}"
    path.write_bytes(content)
    path.chmod(0o644)

    read = spec_or_refusal(lambda: directories.read(path))

    assert isinstance(read, Spec) or read.startswith(f"cannot use {path}: ")
