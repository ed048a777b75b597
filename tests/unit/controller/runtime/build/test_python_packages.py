"""What is understood of what pip says that it installed."""

import json
from pathlib import Path

import pytest

from controller.runtime.build import python_packages
from controller.runtime.build.commands import Bench, Command
from controller.runtime.build.lock import Fetched


def install(directory: Path, *entries: dict[str, object]) -> Fetched:
    """Stand where the sandbox is, and leave the report that pip would."""
    (directory / "root/usr/lib/python3/dist-packages/pip").mkdir(parents=True)

    def pip(command: Command, log) -> int:
        if "--report" in command.argv:
            (command.writable[0].path / "report.json").write_text(json.dumps({"install": entries}))
        return 0

    bench = Bench(pip, lambda line: None)
    return python_packages.install(bench, directory / "root", directory / "work", "/usr/bin/python3", ("six",))


def entry(name: str, url: str | None, sha256: str = "ab") -> dict[str, object]:
    info = {"archive_info": {"hashes": {"sha256": sha256}}} | ({"url": url} if url is not None else {})
    return {"download_info": info, "metadata": {"name": name, "version": "1.0"}}


def test_a_wheel_is_bound_by_its_hash(tmp_path):
    found = install(tmp_path, entry("Some_Thing", "https://host/files/some_thing-1.0-py3-none-any.whl#sha256=ab"))

    assert found == Fetched({"some-thing": "sha256:ab"})


def test_a_hash_in_the_words_of_an_older_pip_is_understood(tmp_path):
    told = {"url": "https://host/six-1.0-py3-none-any.whl", "archive_info": {"hash": "sha256=ab"}}

    found = install(tmp_path, {"download_info": told, "metadata": {"name": "six", "version": "1.0"}})

    assert found == Fetched({"six": "sha256:ab"})


@pytest.mark.invariant("I12")
@pytest.mark.parametrize(
    "url", ["https://host/six-1.0.tar.gz", "https://host/six.zip?x=.whl", "git+https://host/six", None]
)
def test_what_came_as_source_is_loose_though_it_has_a_hash(tmp_path, url):
    found = install(tmp_path, entry("six", url))

    assert found.hashes == {"six": "sha256:ab"}
    assert found.loose == ("what pip builds six 1.0 of, which came as source",)
