"""runtime.yml, as people write it and as they get it wrong."""

import pytest

from api.packages import runtime_yaml
from api.packages.manifest import InvalidManifest, Mount

SELECTIVE = b"""\
name: "python-3.11-ml"
type: "managed"
version: "3.11"
description: "Python 3.11 with ML packages"
mounts:
  - source: "bin"
    target: "/usr/local/bin"
    readonly: true
    selective: [ "python", "python3", "pip" ]
  - source: "./ml-venv//lib/"
    target: "/usr/local/lib/"
environment:
  PYTHON_HOME: "/usr/local"
  OMP_NUM_THREADS: 1
  UNBUFFERED: yes
  PATH_PREPEND: "/usr/local/bin:/opt/bin"
package_manager: {type: pip, cache_volume: pip-cache}
requirements:
  min_memory: "512MB"
  recommended_memory: "2GB"
  architectures: ["x86_64", "amd64"]
"""


def load(text: str):
    return runtime_yaml.load(text.encode())


def problems_of(text: str | bytes) -> list[str]:
    with pytest.raises(InvalidManifest) as caught:
        runtime_yaml.load(text if isinstance(text, bytes) else text.encode())
    return [str(problem) for problem in caught.value.problems]


def with_mount(mount: str) -> str:
    return f"name: a\nmounts:\n- {mount}\n"


def test_every_field_of_the_documents_is_read():
    manifest = runtime_yaml.load(SELECTIVE)

    assert manifest.name == "python-3.11-ml"
    assert manifest.mounts == (
        Mount("bin", "/usr/local/bin", True, ("python", "python3", "pip")),
        Mount("ml-venv/lib", "/usr/local/lib", True),
    )
    assert manifest.path_prepend == "/usr/local/bin:/opt/bin"
    assert manifest.package_manager is not None
    assert manifest.package_manager.cache_volume == "pip-cache"
    assert manifest.requirements.min_memory_bytes == 512_000_000
    assert manifest.requirements.recommended_memory_bytes == 2_000_000_000
    assert manifest.requirements.architectures == ("x86_64", "amd64")
    assert manifest.warnings == ()


def test_environment_keeps_the_authors_own_text_and_path_prepend_is_no_variable():
    environment = runtime_yaml.load(SELECTIVE).environment

    assert dict(environment) == {"PYTHON_HOME": "/usr/local", "OMP_NUM_THREADS": "1", "UNBUFFERED": "yes"}


@pytest.mark.parametrize("version", ["3.10", "3.11", "1e3", "0x10", "017", "2024-01-01", "null", "true"])
def test_an_unquoted_version_stays_as_it_is_written(version: str):
    assert load(with_mount("{source: a, target: /a}") + f"version: {version}\n").version == version


def test_a_mount_is_readonly_unless_it_says_otherwise():
    assert load(with_mount("{source: a, target: /a}")).mounts[0].readonly
    assert not load(with_mount("{source: a, target: /a, readonly: no}")).mounts[0].readonly


@pytest.mark.parametrize("target", ["/proc", "/proc/cpuinfo", "/tmp", "/tmp/x", "/etc/resolv.conf"])
def test_a_target_that_is_never_taken_is_warned_of_and_left_out(target: str):
    manifest = load(with_mount("{source: a, target: /a}") + f"- {{source: b, target: {target}}}\n")

    assert [mount.source for mount in manifest.mounts] == ["a"]
    assert "is never taken from a runtime" in str(manifest.warnings[0])
    assert manifest.warnings[0].line == 4


@pytest.mark.parametrize("target", ["/", "//", "/.", "/sys", "/dev", "/dev/shm", "/work", "/work/x", "/volumes/a"])
def test_a_target_that_belongs_to_the_sandbox_is_refused(target: str):
    assert "belongs to the sandbox" in problems_of(with_mount(f"{{source: a, target: {target}}}"))[0]


@pytest.mark.parametrize("target", ["relative", "/a/../b", "..", '"/a\\0"', '""'])
def test_a_target_must_be_an_absolute_path(target: str):
    assert "is not an absolute path" in problems_of(with_mount(f"{{source: a, target: {target}}}"))[0]


@pytest.mark.parametrize("source", ["/etc", "../etc", "a/../../b", "a/..", '"a\\0"'])
def test_a_source_must_stay_in_the_tree(source: str):
    assert "leaves the tree" in problems_of(with_mount(f"{{source: {source}, target: /a}}"))[0]


@pytest.mark.parametrize("source", ['""', ".", "./"])
def test_a_source_must_name_something(source: str):
    assert "is empty" in problems_of(with_mount(f"{{source: {source}, target: /a}}"))[0]


@pytest.mark.parametrize("name", ["..", ".", "a/b", '""'])
def test_a_selected_entry_is_a_single_name(name: str):
    found = problems_of(with_mount(f"{{source: a, target: /a, selective: [{name}]}}"))

    assert "is not the name of an entry" in found[0]


@pytest.mark.parametrize("mounts", ["", "mounts:\n", "mounts: []\n", "mounts:\n- {source: a, target: /proc}\n"])
def test_a_runtime_without_mounts_is_refused(mounts: str):
    assert problems_of(f"name: a\n{mounts}") == [
        "1:1: mounts is missing or empty: a runtime needs its name and what it mounts"
    ]


def test_all_problems_are_told_at_once_with_their_places():
    text = "name: a\nmounts:\n- {source: ../a, target: /}\n- {source: b, target: b}\nenvironment:\n  1A: x\n"

    assert [problem.split(" ")[0] for problem in problems_of(text)] == ["3:12:", "3:26:", "4:23:", "6:3:"]


def test_the_same_target_twice_is_refused_unless_both_are_selective():
    twice = "- {source: a, target: /a%s}\n- {source: b, target: /a/%s}\n"

    assert "mounted twice" in problems_of("name: a\nmounts:\n" + twice % ("", ""))[0]
    both = load("name: a\nmounts:\n" + twice % (", selective: [x]", ", selective: [y]"))
    assert len(both.mounts) == 2


def test_a_key_that_is_there_twice_is_refused():
    assert (
        "name is there twice, first in line 1" in problems_of("name: a\nname: b\nmounts: [{source: a, target: /a}]")[0]
    )


def test_what_we_do_not_know_is_a_warning():
    text = (
        with_mount("{source: a, target: /a, mode: 7}") + "type: wasm\ninit: x\nfoo: 1\nrequirements: {gpu: 1, x: 2}\n"
    )
    manifest = load(text)

    assert manifest.type == "system"
    assert [warning.line for warning in manifest.warnings] == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("manager", "column", "said"),
    [
        ("{type: pip, cache_volume: ../etc}", 44, '"../etc" is no name of a volume: each run has an empty cache'),
        ("{type: pip, cache_volume: 'shared:'}", 44, '"shared:" is no name of a volume'),
        ("{type: pip, cache_volume: -x}", 44, "use letters, digits and ._- after a letter or digit"),
        ("{type: apk, cache_volume: a}", 25, '"apk" is none of bundler, cargo, composer, conda,'),
        ("{type: apk}", 25, "package_manager.type: "),
    ],
)
def test_a_cache_that_no_job_will_have_is_a_warning_where_it_is_written(manager, column, said):
    (warning,) = load(with_mount("{source: a, target: /a}") + f"package_manager: {manager}\n").warnings

    assert said in warning.message
    assert (warning.line, warning.column) == (4, column)


@pytest.mark.parametrize("volume", ["pip-cache", "shared:pip-cache", "A.b_c", "x" * 63, ""])
def test_a_cache_that_jobs_will_have_is_no_warning(volume):
    text = with_mount("{source: a, target: /a}") + f"package_manager: {{type: Pip, cache_volume: '{volume}'}}\n"

    assert load(text).warnings == ()


def test_fields_of_other_builders_are_left_alone():
    text = (
        with_mount("{source: a, target: /a}") + "libraries: [x]\nbuild_info: {built_at: now}\noriginal_yaml: |\n  x\n"
    )

    assert load(text).warnings == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "1:1: it is empty"),
        ("# nothing\n", "1:1: it is empty"),
        ("just a text", "1:1: it must be a mapping"),
        ("- a\n- b\n", "it must be a mapping"),
        ("name: a\n---\nname: b\n", "a second document starts here"),
        ("name: [a\n", "it is not YAML"),
        ("name: a\n\tmounts: b", "it is not YAML"),
        ("? [a, b]\n: c\n", "a key must be a plain text"),
        (b"name: \xff\xfe\n", "it is not UTF-8 text: byte 6"),
        (b"name: a\x00b\n", "it is not YAML"),
        (b"\x7fELF\x02\x01\x01" + bytes(range(32)), "it is not YAML"),
        ("name: {a: b}\nmounts: x\nenvironment: [a]\n", "must be a"),
        (with_mount("x"), "must be a mapping"),
        (with_mount("{target: /a}"), "source is missing"),
        (with_mount("{source: a, target: /a, readonly: maybe}"), "neither true nor false"),
        (with_mount("{source: a, target: /a}") + "requirements: {min_memory: lots}", "as memory"),
        (with_mount("{source: a, target: /a}") + "package_manager: {cache_volume: x}", "type is missing"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_reason(text: str | bytes, why: str):
    assert why in problems_of(text)[0]


def test_broken_yaml_is_told_with_its_line():
    assert problems_of("name: a\nmounts:\n  - {source: a\nenvironment: x: y\n")[0].startswith("4:")


def test_a_yaml_bomb_is_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    assert "more than 16 aliases" in problems_of("\n".join(lines))[0]


def test_few_aliases_that_multiply_are_refused():
    lines = ["a0: &a0 [" + ", ".join(["x"] * 1000) + "]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 5)]

    assert "its aliases make it too large" in problems_of("\n".join(lines))[0]


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5000, "- " * 5000])
def test_depth_is_capped(text: str):
    assert "nested deeper than 16" in problems_of(text)[0]


def test_an_alias_of_what_it_lies_in_is_refused():
    assert "aliases make it too large" in problems_of("&a\nname: a\nself: *a\n")[0]


def test_a_huge_file_is_refused_before_it_is_read():
    assert "use at most" in problems_of("name: a\n#" + "x" * 300_000)[0]


def test_a_value_beyond_what_a_process_takes_is_refused():
    text = with_mount("{source: a, target: /a}") + "environment: {A: " + "x" * 40_000 + "}\n"

    assert "use at most 32768 bytes" in problems_of(text)[0]


def test_names_of_jobs_are_kept_out_of_the_environment():
    manifest = load(with_mount("{source: a, target: /a}") + "environment: {JOB_ID: x, A: b}\n")

    assert dict(manifest.environment) == {"A": "b"}
    assert "JOB_ names belong to jobs" in str(manifest.warnings[0])
