import pytest

from api.errors import BadRequest
from api.objects import reading


def test_yaml_is_read_as_yaml_1_2_with_text_for_times_and_words_and_octal_as_kubectl_has_it():
    text = b"""
    when: 2026-01-02
    ratio: 1:30
    mode: 0755
    on: yes
    1: [1.5, ~, "x"]
    base: &b {a: 1}
    more: {<<: *b, c: 2}
    """

    assert reading.read_yaml(text) == {
        "when": "2026-01-02", "ratio": "1:30", "mode": 493, "on": "yes", "1": [1.5, None, "x"],
        "base": {"a": 1}, "more": {"a": 1, "c": 2},
    }  # fmt: skip


def test_keys_that_come_twice_are_found_with_their_path():
    assert reading.repeated_fields(reading.read_json(b'{"spec":{"x":1,"x":2,"l":[{"y":1,"y":1}]}}')) == [
        "spec.x",
        "spec.l[0].y",
    ]
    assert reading.repeated_fields(reading.read_yaml(b"spec: {x: 1, x: 2}\nspec2: [{y: 1, y: 1}]")) == [
        "spec.x",
        "spec2[0].y",
    ]
    assert reading.read_json(b'{"a":1,"a":2}') == {"a": 2}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"NaN", "NaN is not JSON"),
        (b"[1e9]x", "Extra data"),
        (b"\xff", "not UTF-8"),
        (b'{"a": 1e999}', "it is no number that JSON has"),
        (b"[" * 100_000, "nests deeper than 64 levels"),
        (b"9" * 5000, "4300 digits"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nests deeper than 64 levels"),
    ],
)
def test_bad_json_is_refused_with_the_reason(body, why):
    with pytest.raises(BadRequest, match=why):
        reading.read_json(body)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"a: [", "did not find expected node content"),
        (b"a: 1\n---\nb: 2", "single document"),
        (b"a: !!python/object:os.system {}", "a tag, which begins with !, is not supported"),
        (b"a: !!binary aGk=", "a tag, which begins with !, is not supported"),
        (b"[" * 100_000, "nests deeper than 64 levels"),
        (b"- " * 100_000, "nests deeper than 64 levels"),
        (b"a: &a [*a]", "refers to what contains it"),
        (b"a: *b", "refers to what contains it, or to nothing"),
        (b"? [a]\n: b", "a key is not text"),
        (b"a: \0", "control characters are not allowed"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: .inf", "it is no number that JSON has"),
        (b"- x\n" * 100_001, "more than 100000 values"),
    ],
)
def test_bad_yaml_is_refused_with_the_reason(body, why):
    with pytest.raises(BadRequest, match=why):
        reading.read_yaml(body)


def test_aliases_that_multiply_are_refused_before_they_do():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    with pytest.raises(BadRequest, match="aliases counted each time"):
        reading.read_yaml("\n".join(lines).encode())


def test_many_repeated_keys_are_counted_in_no_time():
    body = b"{" + b",".join(b'"k%d":1' % (n % 25_000) for n in range(100_000)) + b"}"

    assert len(reading.repeated_fields(reading.read_json(body))) == 25_000


def test_of_a_key_that_comes_again_the_last_counts_and_merged_keys_are_no_repeats():
    value = reading.read_yaml(b"base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nx: 1\nx: 2\n")

    assert value == {"base": {"x": 1, "y": 2}, "use": {"x": 1, "y": 3}, "x": 2}
    assert reading.repeated_fields(value) == ["x"]
