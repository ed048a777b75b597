"""Runtimes made of others: what their runtime.yml says, and their files."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.packages import runtime_yaml
from api.packages.manifest import Manifest, Mount, Requirements
from api.types.runtime_sources import ExtendsSource
from controller.engine.errors import TerminalError, TransientError
from controller.runtime import choosing as sources
from controller.runtime.sources import compose
from controller.runtime.sources.compose import Parent
from controller.runtime.sources.composition import Composition, Layer
from support.registry_fixtures import a_host

BIN = Mount("isolated/bin", "/bin")


def parent(spec: str, *mounts: Mount, **fields: object) -> Parent:
    return Parent(spec, Manifest(spec.partition("@")[0], mounts or (BIN,), **fields))


def extends(**fields: object) -> ExtendsSource:
    return ExtendsSource.model_validate({"runtimes": ["a"], **fields})


def refused(wanted: ExtendsSource, *parents: Parent) -> str:
    with pytest.raises(TerminalError) as caught:
        compose.document("c", wanted, parents)
    assert caught.value.reason == "InvalidComposition"
    return caught.value.message


class TestManifest:
    def test_mounts_append_and_the_childs_own_is_taken_at_its_target(self):
        two = Mount("isolated/opt", "/opt", readonly=False)
        own = {"source": "mine", "target": "/opt", "selective": ["x"]}

        found = compose.mounts(extends(mounts=[own]), [parent("a@1.0.0", BIN, two), parent("b@1.0.0")])

        assert found == (BIN, Mount("mine", "/opt", True, ("x",)))

    def test_what_two_show_of_one_directory_is_shown_together(self):
        one, other = Mount("isolated/bin", "/bin", True, ("sh",)), Mount("isolated/bin", "/bin", True, ("ls", "sh"))

        assert compose.mounts(extends(), [parent("a", one), parent("b", other)])[0].selective == ("sh", "ls")
        assert compose.mounts(extends(), [parent("a", one), parent("b", BIN)])[0].selective == ()

    def test_two_different_things_at_one_target_are_refused_with_both_names(self):
        said = refused(extends(), parent("a@1.0.0"), parent("b@2.0.0", Mount("usr/bin", "/bin")))

        assert "a@1.0.0 mounts isolated/bin at /bin, b@2.0.0 mounts usr/bin there" in said

    def test_the_childs_environment_wins_and_its_path_is_first(self):
        first = parent("a", environment={"A": "a", "X": "a"}, path_prepend="/a:/both")
        later = parent("b", environment={"B": "b", "X": "b"}, path_prepend="/b:/both")
        own = {"A": "mine", "PATH_PREPEND": "/mine"}

        assert compose.environment(extends(environment=own), [first, later]) == {
            "A": "mine", "B": "b", "X": "b", "PATH_PREPEND": "/mine:/b:/both:/a",
        }  # fmt: skip

    def test_requirements_are_the_highest_and_what_all_run_on(self):
        one = parent("a", requirements=Requirements(100, 300, ("x86_64", "arm64")))
        other = parent("b", requirements=Requirements(200, None, ("amd64",)))
        own = {"min_memory": "1KB", "architectures": []}

        found = compose.document("c", extends(requirements={"minMemory": own["min_memory"]}), [one, other])

        assert found["requirements"] == {
            "min_memory": "1000", "recommended_memory": "300", "architectures": ["amd64"],
        }  # fmt: skip

    def test_what_runs_on_no_machine_together_is_refused(self):
        arm = parent("a@1.0.0", requirements=Requirements(architectures=("arm64",)))
        said = refused(extends(), arm, parent("b@1.0.0", requirements=Requirements(architectures=("amd64",))))

        assert "there is no machine that all of them run on: a@1.0.0 runs on arm64, b@1.0.0 runs on amd64" in said


memories = st.one_of(st.none(), st.integers(1, 10**12))
machines = st.lists(st.sampled_from(["amd64", "arm64", "riscv64"]), unique=True).map(tuple)
words = st.text("abc/:", max_size=4)
manifests = st.builds(
    Manifest,
    st.just("p"),
    st.just((BIN,)),
    environment=st.dictionaries(st.sampled_from("ABC"), words, max_size=3),
    path_prepend=words,
    requirements=st.builds(Requirements, memories, memories, machines),
)


@given(st.lists(manifests, min_size=1, max_size=4), st.dictionaries(st.sampled_from("ABC"), words, max_size=3))
def test_what_is_put_together_reads_back_and_needs_no_less_than_any_part(parts, own):
    parents = [Parent(f"p{number}@1.0.0", manifest) for number, manifest in enumerate(parts)]
    named = [set(part.requirements.architectures) for part in parts if part.requirements.architectures]
    try:
        document = compose.document("child", extends(environment=own), parents)
    except TerminalError as error:
        refusal = error.message
    else:
        refusal = ""
    if refusal:
        assert not set.intersection(*named)
        assert "no machine" in refusal
        return
    read = runtime_yaml.load(json.dumps(document).encode())

    for part in parts:
        assert (read.requirements.min_memory_bytes or 0) >= (part.requirements.min_memory_bytes or 0)
        if part.requirements.architectures:
            assert set(read.requirements.architectures) <= set(part.requirements.architectures)
        assert part.environment.keys() <= read.environment.keys()
        assert {d for d in part.path_prepend.split(":") if d} <= set(read.path_prepend.split(":"))
    assert all(read.environment[name] == value for name, value in own.items())


class TestCycles:
    @pytest.mark.parametrize(
        ("made_of", "said"),
        [
            ({"a": ("a",)}, "a is made of itself: a from a"),
            ({"a": ("b@1.0.0",), "b": ("c@^1",), "c": ("a",)}, "a from b from c from a"),
        ],
    )
    def test_what_is_made_of_itself_is_refused_with_the_way_round(self, made_of, said):
        with pytest.raises(TerminalError, match=said) as caught:
            sources.refuse_cycle("a", made_of)
        assert caught.value.reason == "ExtendsCycle"

    def test_a_cycle_elsewhere_and_a_diamond_are_none_of_ours(self):
        made_of = {"a": ("b", "c"), "b": ("d",), "c": ("d",), "d": ("e",), "e": ("d",)}

        sources.refuse_cycle("a", made_of)
        with pytest.raises(TerminalError, match="d from e from d"):
            sources.refuse_cycle("d", made_of)


class TestFiles:
    @pytest.fixture
    def layers(self, tmp_path):
        for name in ("a", "b"):
            tree = tmp_path / name
            (tree / "isolated/bin").mkdir(parents=True)
            (tree / "isolated/bin" / name).write_text(name)
            (tree / "isolated/bin/both").write_text(name)
            (tree / "isolated/bin/link").symlink_to(name)
            manifest = {"name": name, "mounts": [{"source": "isolated/bin", "target": "/bin"}]}
            (tree / "runtime.yml").write_text(json.dumps(manifest))
            (tree / "versions.lock").write_text("of a parent")
        return tuple(Layer(f"{name}@1.0.0", tmp_path / name, name * 64, Manifest(name, (BIN,))) for name in ("a", "b"))

    def make(self, tmp_path: Path, layers: tuple[Layer, ...], **fields: object) -> Path:
        (tmp_path / "staging").mkdir()
        lines: list[str] = []
        wanted = extends(runtimes=["a", "b"], **fields)
        with a_host(tmp_path / "root") as host:
            return (
                Composition("c", "1.0.0", wanted, layers).make(tmp_path / "staging", host, None, lines.append).payload
            )

    def test_the_parents_files_are_linked_and_the_later_ones_win(self, tmp_path, layers):
        tree = self.make(tmp_path, layers)

        assert sorted(os.listdir(tree / "isolated/bin")) == ["a", "b", "both", "link"]
        assert (tree / "isolated/bin/both").samefile(tmp_path / "b/isolated/bin/both")
        assert (tree / "isolated/bin/a").samefile(tmp_path / "a/isolated/bin/a")
        assert os.readlink(tree / "isolated/bin/link") == "b"
        assert not (tree / "versions.lock").exists()
        assert runtime_yaml.load((tree / "runtime.yml").read_bytes()).name == "c"

    @pytest.mark.invariant("I33")
    def test_a_file_of_the_childs_own_takes_the_place_of_a_parents_and_changes_nothing_there(self, tmp_path, layers):
        files = [{"path": "/bin/both", "text": "mine", "mode": 0o755}, {"path": "/bin/new/deep", "base64": "AAE="}]
        tree = self.make(tmp_path, layers, files=files)

        assert (tree / "isolated/bin/both").read_text() == "mine"
        assert os.access(tree / "isolated/bin/both", os.X_OK)
        assert (tree / "isolated/bin/new/deep").read_bytes() == b"\0\1"
        assert (tmp_path / "b/isolated/bin/both").read_text() == "b"

    @pytest.mark.parametrize(
        ("path", "why"),
        [("/opt/x", "nothing is mounted there"), ("/bin/link/x", "no directory"), ("/bin/sub", "it is a directory")],
    )
    def test_a_file_that_jobs_would_not_see_or_that_is_in_the_way_is_refused(self, tmp_path, layers, path, why):
        (layers[0].path / "isolated/bin/sub").mkdir()
        with pytest.raises(TerminalError, match=why):
            self.make(tmp_path, layers, files=[{"path": path, "text": ""}])

    @pytest.mark.parametrize("order", [1, -1])
    def test_a_directory_and_a_link_do_not_go_together(self, tmp_path, layers, order):
        (layers[0].path / "isolated/bin/x").mkdir()
        (layers[1].path / "isolated/bin/x").symlink_to("/etc")
        with pytest.raises(TerminalError, match="isolated/bin/x is a") as caught:
            self.make(tmp_path, layers[::order])

        assert caught.value.reason == "InvalidComposition"

    def test_a_parent_that_went_meanwhile_is_waited_for(self, tmp_path, layers):
        gone = Layer("d@1.0.0", tmp_path / "d", "", Manifest("d", (BIN,)))
        with pytest.raises(TransientError) as caught:
            self.make(tmp_path, (*layers, gone))

        assert caught.value.reason == "ParentNotReady"

    def test_another_content_of_a_parent_is_another_thing_that_is_asked_for(self, layers):
        one = Composition("c", "1.0.0", extends(), layers)
        other = Composition(
            "c", "1.0.0", extends(), (layers[0], Layer("b@1.0.0", layers[1].path, "x", layers[1].manifest))
        )

        assert one.fingerprint == Composition("c", "1.0.0", extends(), layers).fingerprint
        assert one.fingerprint != other.fingerprint
        assert one.fingerprint != Composition("c", "1.0.0", extends(description="x"), layers).fingerprint
