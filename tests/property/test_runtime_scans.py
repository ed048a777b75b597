"""Scans that remember, after whatever is done to trees: they find what a scan that remembers nothing finds."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.runtime.trees import tree
from controller.runtime.trees.scans import Scans
from support.file_clock import settle
from support.registry_fixtures import a_tree

PLACES = ("a-1.0.0", "a-2.0.0", "b/1.0.0", "python/b-1.0.0", "b")
MORE = "  - {source: isolated/etc, target: /etc, selective: [hosts, motd]}\n"


def rewritten_in_place(at: Path) -> None:
    """As many bytes as before, and the time of before: only the kernel's own time of the change tells."""
    manifest = at / tree.MANIFEST
    before, text = manifest.stat(), manifest.read_bytes()
    manifest.write_bytes(text.replace(b"/bin", b"/lib") if b"/bin" in text else text.replace(b"/lib", b"/bin"))
    os.utime(manifest, ns=(before.st_atime_ns, before.st_mtime_ns))


def relinked(at: Path) -> None:
    """What is mounted is behind a link that leads out of the tree, to what it was."""
    (at / "isolated").rename(at / "moved")
    (at / "isolated").symlink_to(at / "moved")


def replaced(at: Path) -> None:
    a_tree(at.with_name("coming"), at.name.partition("-")[0], MORE)
    shutil.rmtree(at, ignore_errors=True)
    at.with_name("coming").rename(at)


CHANGES: dict[str, Callable[[Path], object]] = {
    "made": lambda at: a_tree(at, at.name.partition("-")[0]),
    "made by version": lambda at: a_tree(at, at.parent.name),
    "made with more": lambda at: a_tree(at, at.name.partition("-")[0], MORE),
    "removed": shutil.rmtree,
    "renamed": lambda at: at.rename(at.with_name("a-3.0.0")),
    "replaced": replaced,
    "rewritten in place": rewritten_in_place,
    "damaged": lambda at: (at / tree.MANIFEST).write_text("name: ["),
    "without a manifest": lambda at: (at / tree.MANIFEST).unlink(),
    "a link for a manifest": lambda at: (
        (at / tree.MANIFEST).rename(at / "real"), (at / tree.MANIFEST).symlink_to("real"),
    ),
    "without what is mounted": lambda at: shutil.rmtree(at / "isolated/bin"),
    "with a selected file": lambda at: (
        (at / "isolated/etc").mkdir(exist_ok=True), (at / "isolated/etc/hosts").touch(),
    ),
    "relinked": relinked,
    "a link itself": lambda at: (at.rename(at.with_name("real")), at.symlink_to("real")),
    "unreadable": lambda at: (at / tree.MANIFEST).chmod(0),
}  # fmt: skip
STEPS = st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.sampled_from(PLACES), st.booleans()), max_size=12)


@pytest.mark.invariant("I13")
@settings(max_examples=25, deadline=None)
@example([("made", "a-1.0.0", True), ("rewritten in place", "a-1.0.0", False)])
@example([("made", "a-1.0.0", True), ("rewritten in place", "a-1.0.0", True), ("rewritten in place", "a-1.0.0", True)])
@example([("made", "a-1.0.0", False), ("rewritten in place", "a-1.0.0", False)])
@example([("made", "a-1.0.0", True), ("relinked", "a-1.0.0", True)])
@example([("made", "a-1.0.0", True), ("without what is mounted", "a-1.0.0", True)])
@example([("made with more", "a-1.0.0", True), ("with a selected file", "a-1.0.0", True)])
@example([("made by version", "b/1.0.0", True), ("made", "b", True)])
@given(STEPS)
def test_a_scan_that_remembers_finds_what_one_that_does_not_finds(steps):
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        scans = Scans(root)
        for change, place, is_settled in steps:
            (root / place).parent.mkdir(exist_ok=True)
            with contextlib.suppress(OSError):
                CHANGES[change](root / place)
            if is_settled:
                settle()
            assert scans.scan() == tree.scan(root), (change, place)
            assert scans.scan() == tree.scan(root), (change, place, "and once more")
