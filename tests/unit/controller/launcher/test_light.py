"""The launcher's process stays small: what it imports."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
HEAVY = {
    "asyncio",
    "email",
    "http",
    "logging",
    "multiprocessing",
    "pydantic",
    "sqlite3",
    "sqlmodel",
    "ssl",
    "subprocess",
}


def test_the_launcher_imports_the_standard_library_and_little_of_it():
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import controller.launcher.__main__; print(*sys.modules)"
    output = subprocess.check_output([sys.executable, "-I", "-S", "-c", code], text=True)

    imported = {name.partition(".")[0] for name in output.split()}
    assert not imported & HEAVY
    assert imported <= set(sys.stdlib_module_names) | {"controller", "__main__"}
