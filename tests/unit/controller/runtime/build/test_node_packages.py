"""What npm is asked for and given, and what is understood of what it leaves."""

import json
from pathlib import Path

import pytest

from controller.engine.errors import TerminalError
from controller.runtime.build import node_packages
from controller.runtime.build.commands import Bench, Command
from controller.runtime.build.lock import Fetched

LOCK = {
    "packages": {
        "": {"dependencies": {"a": "1.0.0"}},
        "node_modules/a": {"version": "1.0.0", "integrity": "sha512-a"},
        "node_modules/a/node_modules/b": {"version": "2.0.0", "integrity": "sha512-b"},
        "node_modules/bundled": {"version": "1.0.0", "inBundle": True},
    }
}


class Npm:
    """Stands where the sandbox is: keeps the command, and leaves what npm would."""

    def __init__(self, left: str | None = None, status: int = 0) -> None:
        self.commands: list[Command] = []
        self._left, self._status = left, status

    def __call__(self, command: Command, log) -> int:
        self.commands.append(command)
        log("npm ERR! code E404" if self._status else "added 2 packages")
        if self._left is not None:
            (command.writable[0].path / "package-lock.json").write_text(self._left)
        return self._status


def install(npm: Npm, directory: Path, *asked: str) -> Fetched:
    (directory / "root").mkdir(exist_ok=True)
    return node_packages.install(Bench(npm, lambda line: None), directory / "root", directory / "npm", asked)


def there(directory: Path, *paths: str) -> None:
    for path in paths:
        (directory / "root/usr/local/lib" / path).mkdir(parents=True)


def test_npm_runs_in_the_root_that_is_built_on_the_network_with_a_cache_that_does_not_stay(tmp_path):
    npm = Npm(json.dumps(LOCK))

    install(npm, tmp_path, "a@1.0.0", "@scope/c")

    (command,) = npm.commands
    assert (command.root, command.network) == (tmp_path / "root", True)
    assert command.env["npm_config_cache"].startswith("/tmp/")
    assert [(share.path, share.inside) for share in command.writable] == [(tmp_path / "npm", "/build/npm")]


def test_what_is_asked_for_comes_after_the_end_of_the_options_as_it_was_written(tmp_path):
    npm = Npm()

    install(npm, tmp_path, "a@^1.0.0", "@scope/c")

    (command,) = npm.commands
    assert command.argv[:2] == ("/bin/sh", "-c")
    assert command.argv[3:] == ("npm", "/usr/local/lib", "a@^1.0.0", "@scope/c")
    assert '-- "$@"\n' in command.argv[2]
    assert not {"--ignore-scripts", "--force", "--legacy-peer-deps", "--registry"} & set(command.argv[2].split())


def test_the_hashes_are_those_of_its_lock_by_directory(tmp_path):
    found = install(Npm(json.dumps(LOCK)), tmp_path, "a")

    assert found.hashes == {
        "node_modules/a": "sha512-a",
        "node_modules/a/node_modules/b": "sha512-b",
        "node_modules/bundled": "",
    }


@pytest.mark.invariant("I12")
def test_what_has_no_hash_and_is_not_of_its_parents_archive_is_loose(tmp_path):
    there(tmp_path, "node_modules/a", "node_modules/a/node_modules/git", "node_modules/bundled")
    entry = {"version": "3.0.0", "resolved": "git+ssh://host/git.git#abc"}
    found = install(
        Npm(json.dumps({"packages": LOCK["packages"] | {"node_modules/a/node_modules/git": entry}})), tmp_path
    )

    assert (found.loose, found.scripts) == (("npm git 3.0.0, which has no hash",), ())


@pytest.mark.invariant("I12")
def test_packages_that_ran_a_script_are_told_and_those_for_other_platforms_that_are_not_there_are_not(tmp_path):
    there(tmp_path, "node_modules/scripted", "node_modules/@a/b")
    scripted = {"version": "1.0.0", "integrity": "sha512-x", "hasInstallScript": True}
    names = ("scripted", "@a/b", "fsevents")
    found = install(Npm(json.dumps({"packages": {f"node_modules/{name}": scripted for name in names}})), tmp_path)

    assert (found.loose, found.scripts) == ((), ("npm @a/b 1.0.0", "npm scripted 1.0.0"))


@pytest.mark.invariant("I12")
def test_a_place_that_leads_away_counts_as_there(tmp_path):
    there(tmp_path, "node_modules")
    (tmp_path / "root/usr/local/lib/node_modules/link").symlink_to("/etc")
    lock = {"node_modules/link/ssl/certs": {"version": "1"}, "../" * 9 + "etc": {"version": "2"}}

    assert len(install(Npm(json.dumps({"packages": lock})), tmp_path).loose) == 2


def test_a_failure_is_one_of_the_build_with_the_words_of_npm(tmp_path):
    with pytest.raises(TerminalError, match="cannot install the Node packages: .* npm ERR! code E404"):
        install(Npm(status=1), tmp_path, "no-such-package")


@pytest.mark.parametrize("left", ["", "[]", '{"packages": 1}', '{"packages": {"a": 1}}', "{" * 10_000])
def test_a_lock_that_is_none_fails_the_build(tmp_path, left):
    with pytest.raises(TerminalError, match="package-lock.json: it is not of npm's form"):
        install(Npm(left), tmp_path, "a")


def test_a_tree_without_node_is_refused_with_what_to_do():
    node_packages.refuse_without_node("node", ())
    node_packages.refuse_without_node("python", ("nodejs=18.1",))

    with pytest.raises(TerminalError, match="the tree has no Node: set base.language to node, or name nodejs in apt"):
        node_packages.refuse_without_node(None, ("nodejs-doc",))
