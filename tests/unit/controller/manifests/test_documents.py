import json

import pytest

from api.caps import MOST_TEXT_BYTES
from controller.manifests.documents import InvalidText, Parsed, read

JOB = b"""\
# a comment
apiVersion: runwright.dev/v1alpha1
kind: Job
metadata:
  name: etl
  labels: {app.kubernetes.io/name: etl}
spec:
  command: [python3, -c, "print(1)"]
  env:
    - name: A
      value: "1"
    - name: B
      value: two
  resources:
    limits:
      memory: 64Mi
      ephemeral-storage: 1Gi
"""


def one(content: bytes) -> Parsed:
    [parsed] = read(content)
    return parsed


def value(text: str) -> object:
    return one(f"v: {text}\n".encode()).document["v"]


def refusal(content: bytes) -> tuple[str, int, int]:
    with pytest.raises(InvalidText) as caught:
        read(content)
    return caught.value.message, caught.value.line, caught.value.column


def test_a_document_knows_its_line():
    assert (one(JOB).document["metadata"]["name"], one(JOB).line) == ("etl", 2)


@pytest.mark.parametrize(
    "field, line",
    [
        ("kind", 3),
        ("spec.command[1]", 8),
        ("spec.env[0].name", 10),
        ("spec.env[1].value", 13),
        ("spec.env[1]", 12),
        ("spec.resources.limits.memory", 16),
        ("spec.resources.limits.ephemeral-storage", 17),
        ("metadata.labels.app.kubernetes.io/name", 6),
        ("spec.resources.requests", 14),
        ("spec.env[7].name", 9),
        ("nothing", 2),
        ("", 2),
    ],
)
def test_a_field_is_found_on_its_line_or_on_that_of_what_is_nearest_above(field: str, line: int):
    assert one(JOB).line_of(field) == line


def test_documents_after_another_each_know_their_lines_and_empty_ones_do_not_count():
    found = read(b"a: 1\n---\n---\n# nothing\n---\nb: 2\n...\n---\nc: 3\n")

    assert [(parsed.document, parsed.line) for parsed in found] == [({"a": 1}, 1), ({"b": 2}, 6), ({"c": 3}, 9)]


def test_nothing_is_no_documents():
    assert read(b"") == read(b"\n# only a comment\n") == ()


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("true", True), ("False", False), ("on", "on"), ("off", "off"), ("yes", "yes"), ("n", "n"),
        ("1", 1), ("-7", -7), ("0644", 0o644), ("0o644", 0o644), ("0x1F", 31), ("089", 89), ("1_000", "1_000"),
        ("1.5", 1.5), ("1e3", 1000.0), ("3.10", 3.1), ("1.2.3", "1.2.3"), ("64Mi", "64Mi"), ("12:30:00", "12:30:00"),
        ("2026-01-02", "2026-01-02"), ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("~", None), ("null", None), ("", None), ("=", "="),
        ('"1"', "1"), ("'true'", "true"), ("!!str 123", "123"), ("|-\n  1", "1"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_what_yaml_1_2_and_kubectl_make_of_it(text: str, wanted: object):
    assert (value(text), type(value(text))) == (wanted, type(wanted))


def test_keys_are_text_whatever_they_look_like():
    assert one(b"{1: a, true: b, 2026-01-01: c}").document == {"1": "a", "true": "b", "2026-01-01": "c"}


def test_merge_keys_and_aliases_work_and_the_own_key_wins():
    text = b"base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n"

    assert one(text).document["use"] == {"x": 1, "y": 3}


def test_json_is_read_with_its_lines():
    parsed = one(b'{\n  "kind": "Job",\n  "spec": {\n    "env": [\n      {"name": "A"}]}}\n')

    assert (parsed.document["kind"], parsed.line_of("spec.env[0].name")) == ("Job", 5)


def test_json_with_escaped_pairs_and_tabs_is_read():
    content = json.dumps({"text": "\N{GRINNING FACE}", "path": "a/b"}, indent="\t").replace("/", "\\/").encode()

    assert one(content).document == {"text": "\N{GRINNING FACE}", "path": "a/b"}


def test_json_documents_may_follow_each_other():
    assert [(p.document, p.line) for p in read(b'{"a": 1}\n{"b": 2}\n')] == [({"a": 1}, 1), ({"b": 2}, 2)]


def test_yaml_in_braces_is_yaml():
    assert one(b"{a: [x, y]}").document == {"a": ["x", "y"]}


def test_a_list_is_taken_apart_and_its_items_know_their_lines():
    found = read(
        b"apiVersion: v1\nkind: List\nitems:\n- kind: Job\n  metadata: {name: a}\n"
        b"- kind: Job\n  metadata:\n    name: b\n"
    )

    assert [parsed.document["metadata"]["name"] for parsed in found] == ["a", "b"]
    assert [(parsed.line, parsed.line_of("metadata.name")) for parsed in found] == [(4, 5), (6, 8)]


@pytest.mark.parametrize(
    "content, message, line, column",
    [
        (b"a: 1\nb: \xff\n", "byte 0xff is not UTF-8 text: save it as UTF-8", 2, 4),
        (b"a: 1\nb: x\x00y\n", "control character 0x00: remove it", 2, 5),
        (b"a: 1\na: 2\n", 'key "a" is given twice: remove one', 2, 1),
        (b"a:\n  b: 1\n\tc: 2\n", "a tab in the indentation: use spaces", 3, 1),
        (b"a: !!python/name:x\n", "a tag, which begins with !, is not supported: remove it, or quote the text", 1, 4),
        (b"a: .inf\n", "it is no number that JSON has: write a number, or quote it", 1, 4),
        (b"a: 1e999\n", "it is no number that JSON has: write a number, or quote it", 1, 4),
        (b"? [a]\n: b\n", "a key is not text: write a plain key", 1, 3),
        (b'{"a": 1, "a": 2}', 'key "a" is given twice: remove one', 1, 1),
        (b'{"a": 1e999}', "it is no number that JSON has: write a number, or quote it", 1, 1),
        (b'{"a": NaN}', "NaN is no number that JSON has: write a number", 1, 1),
        (b'{\n"a": 1,\n"b" 2}', "not JSON: expecting ':' delimiter", 3, 5),
    ],
)  # fmt: skip
def test_what_cannot_be_read_says_where_why_and_what_to_do(content: bytes, message: str, line: int, column: int):
    assert refusal(content) == (message, line, column)


@pytest.mark.parametrize(
    "content", [b"a: [1, 2\n", b"a: b: c\n", b"a: *nobody\n", b"\x7fELF\x02", b"- a\nb: c\n", b"%YAML 9.9\n---\n@"]
)
def test_what_is_no_yaml_is_refused_with_a_line(content: bytes):
    message, line, _ = refusal(content)

    assert line >= 1
    assert message


def test_a_torn_document_is_refused_as_a_whole():
    message, line, _ = refusal(b'kind: Job\n---\nkind: Job\nmetadata: {name: "to')

    assert line == 4
    assert message.startswith("not YAML: found unexpected end of stream")


def test_a_manifest_of_ten_megabytes_is_refused_without_reading_it():
    assert refusal(b"a" * (10 << 20))[0] == f"it has 10485760 bytes, the most is {MOST_TEXT_BYTES}: split it"


def test_a_yaml_bomb_is_refused_before_it_blows_up():
    levels = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    levels += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    assert refusal("\n".join(levels).encode())[0] == "more than 100000 values once aliases are filled in: use fewer"


def test_an_anchor_inside_itself_is_refused():
    assert refusal(b"a: &a [*a]\n")[0] == "more than 64 levels deep: flatten it"


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"- " * 5000, b"a: " + b"{b: " * 500])
def test_depth_is_refused_before_it_costs_the_stack(content: bytes):
    assert refusal(content)[0].startswith(("more than 64 levels", "not JSON that can be read"))


def test_very_many_values_are_refused():
    assert refusal(b"- x\n" * 200_000)[0] == "more than 100000 values: split or flatten it"


@pytest.mark.parametrize("blank", [" ", "\t\n"])
@pytest.mark.parametrize("values", [200_000, 100_001])
def test_very_many_values_are_refused_in_json_too_whether_or_not_it_is_yaml(values: int, blank: str):
    content = f'{{{blank}"path":{blank}"a\\/b",{blank}"l": [{",".join(["1"] * values)}]}}'.encode()

    assert refusal(content)[0] == "more than 100000 values: split or flatten it"


def test_very_many_keys_are_refused_in_json_too():
    keys = ", ".join(f'"k{n}": {n}' for n in range(50_001))

    assert refusal(f"{{{keys}}}".encode())[0] == "more than 100000 values: split or flatten it"
    assert refusal(f'{{"\\ud83d\\ude00": 1, {keys}}}'.encode())[0] == "more than 100000 values: split or flatten it"


def test_aliases_are_bounded_in_braces_too():
    content = '{"a": &a 1, "l": [' + ", ".join(["*a"] * 1_001) + "]}"

    assert refusal(content.encode())[0] == "more than 1000 aliases: split or flatten it"


@pytest.mark.parametrize("first", ['"first": 0', '"\\ud83d\\ude00": 0'])
def test_one_key_given_twice_is_found_among_very_many(first: str):
    keys = ", ".join(f'"k{n}": {n}' for n in range(49_990))

    assert refusal(f'{{{first}, {keys}, "k49989": 1}}'.encode())[0] == 'key "k49989" is given twice: remove one'


def test_a_byte_order_mark_is_no_text():
    assert one(b"\xef\xbb\xbfa: 1\n").document == {"a": 1}


@pytest.mark.invariant("S24")
@pytest.mark.parametrize("value", ["!hunter2", "!!hunter2 x", "!<hunter2> x", "*hunter2", "9hunter2: 1: 2", "1e999"])
def test_a_password_that_is_written_badly_is_in_no_message(value):
    """Everybody who may look sees what is wrong with a manifest."""
    content = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\nstringData:\n  password: {value}\n"
    message, line, _ = refusal(content.encode())

    assert line == 5
    assert "hunter2" not in message
    assert "1e999" not in message
