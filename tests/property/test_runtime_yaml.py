"""Any bytes as a runtime.yml."""

from hypothesis import example, given
from hypothesis import strategies as st

from api.packages import runtime_yaml
from api.packages.manifest import InvalidManifest, Problem

scalars = st.one_of(st.text(max_size=12), st.sampled_from(["/", "/usr", "..", "true", "3.10", "~", "/proc", "512MB"]))
keys = st.sampled_from(
    ["name", "mounts", "source", "target", "selective", "environment", "PATH_PREPEND", "requirements", "type", "x"]
)
documents = st.recursive(
    scalars,
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(keys, below, max_size=6)),
    max_leaves=20,
)


def is_kept_or_refused(text: bytes) -> None:
    problems: tuple[Problem, ...] = ()
    manifest = None
    try:
        manifest = runtime_yaml.load(text)
    except InvalidManifest as error:
        problems = error.problems
    assert (manifest is None) == bool(problems)
    assert all(problem.message for problem in problems)
    if manifest is None:
        return
    for mount in manifest.mounts:
        assert mount.target.startswith("/")
        assert mount.target != "/"
        assert ".." not in mount.target.split("/") + mount.source.split("/")
        assert mount.source
        assert not mount.source.startswith("/")


@given(st.binary(max_size=200))
@example(b"{" * 10_000)
@example(b"%YAML 9.9\n---\nname: x")
def test_any_bytes_give_a_manifest_or_reasons(text: bytes):
    is_kept_or_refused(text)


@given(documents)
def test_any_document_gives_a_manifest_or_reasons(document: object):
    import yaml

    is_kept_or_refused(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "replace"))
