"""The order that a build's process reads, and how light that process is."""

import subprocess
import sys
from pathlib import Path

import pytest

from controller.cgroup.limits import Limits
from controller.runtime.build.order import HostOverlay, Order, TreeRoot, from_json, to_json

HEAVY = ("pydantic", "httpx", "yaml", "sqlmodel", "prometheus_client", "api", "state")


@pytest.mark.parametrize("root", [HostOverlay(hidden=(Path("/a"),)), TreeRoot(Path("/tree"))])
def test_an_order_is_read_as_it_was_written(root):
    order = Order(name="a",
        id="a-1", argv=("a", "b c", "\u00fc\n"), env={"A": "b"}, cwd="/x", root=root, scratch=Path("/s"),
        limits=Limits(1, 100, None), timeout_seconds=1.5, cgroup_parent="p", writable=((Path("/h"), "/i"),),
        readable=((Path("/r"), "/j"),), files={"/root/x": "text"}, network=True, space_floor_bytes=7,
    )  # fmt: skip

    assert from_json(to_json(order)) == order


def test_the_process_around_a_build_imports_nothing_heavy():
    program = (
        f"import sys; sys.path.insert(0, {str(Path.cwd())!r}); import controller.runtime.build.sandbox_main;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)

    assert out.stdout == "[]\n"
