"""Manifests know their file and line, and bad ones say theirs."""

import pytest

from api.cli.files import BadManifest, Manifest, parse, read

TWO = b"""\
# two of them
apiVersion: runwright.dev/v1alpha1
kind: Job
metadata: {name: one}
spec:
  env:
  - name: A
  - name: B
    value: yes
---
---
apiVersion: runwright.dev/v1alpha1
kind: Job
metadata:
  name: two
  annotations: {since: 2026-01-01, at: "12:30"}
"""


def one(content: bytes) -> Manifest | BadManifest:
    (found,) = parse("f.yaml", content)
    return found


def test_each_document_knows_the_line_it_starts_on():
    assert [manifest.place for manifest in parse("f.yaml", TWO)] == ["f.yaml:2", "f.yaml:12"]


@pytest.mark.parametrize(
    ("field", "line"),
    [("spec.env[1].value", 9), ("spec.env[0]", 7), ("metadata.name", 4), ("spec.command", 6), ("nothing", 2)],
)
def test_a_field_knows_its_line_or_that_of_the_nearest_field_above(field, line):
    first = next(iter(parse("f.yaml", TWO)))

    assert isinstance(first, Manifest)
    assert first.place_of(field) == f"f.yaml:{line}"


def test_dates_stay_text():
    second = list(parse("f.yaml", TWO))[1]

    assert second.document["metadata"]["annotations"] == {"since": "2026-01-01", "at": "12:30"}


def test_a_list_is_taken_apart():
    content = b"kind: List\nitems:\n- kind: Job\n  metadata: {name: a}\n- kind: Job\n"

    assert [manifest.place for manifest in parse("f.yaml", content)] == ["f.yaml:3", "f.yaml:5"]


def test_json_is_read_too():
    assert one(b'{"kind": "Job",\n "metadata": {"name": "a"}}').document["metadata"] == {"name": "a"}


@pytest.mark.parametrize("content", [b"", b"\n---\n---\n", b"# nothing\n"])
def test_a_file_of_nothing_holds_nothing(content):
    assert list(parse("f.yaml", content)) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1\nb: 2\n", "f.yaml:2: cannot read it as YAML: did not find expected ',' or ']'"),
        (b"a:\n  b: 1\n  b: 2\n", 'f.yaml:3: cannot read it: "b" is there twice'),
        (b"- 1\n", "f.yaml:1: cannot read it: it is not an object with apiVersion and kind"),
        (b"\xff\xfe", "f.yaml: cannot read it: it is not UTF-8 text (byte 0)"),
        (b"[" * 1000, "f.yaml:1: cannot read it: it nests deeper than 64 levels: flatten it"),
        (b"a: 1\n---\n" * 40_000, "f.yaml:66667: cannot read it: it has more than 100000 values: split it"),
        (b"#" * ((4 << 20) + 1), "f.yaml: cannot read it: it is over 4 MiB: split it"),
    ],
)
def test_what_cannot_be_read_says_where(content, message):
    found = one(content)

    assert isinstance(found, BadManifest)
    assert str(found) == message


def test_aliases_that_multiply_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]

    assert "aliases counted each time" in str(one("\n".join(lines).encode()))


def test_documents_before_a_broken_one_are_still_there():
    found = list(parse("f.yaml", b"kind: A\n---\nb: [\n"))

    assert [type(each) for each in found] == [Manifest, BadManifest]


def test_a_directory_is_read_in_order_of_names_and_only_recursively_if_asked(tmp_path):
    for name in ("b.yaml", "a.json", "sub/c.yml", ".hidden.yaml", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"kind": "Job"}')

    flat = [m.file for m in read((str(tmp_path),), recursive=False)]
    deep = [m.file for m in read((str(tmp_path),), recursive=True)]

    assert flat == [str(tmp_path / "a.json"), str(tmp_path / "b.yaml")]
    assert deep == [*flat, str(tmp_path / "sub/c.yml")]
