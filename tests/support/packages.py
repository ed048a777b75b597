"""Packages as their authors write them: directories of recipes and of trees."""

import os
from pathlib import Path

SCRIPT = "#!/bin/bash\nexit 0\n"
RECIPE = """\
name: {name}
version: {version}
description: A recipe for tests
platforms: [ubuntu-amd64, rhel-amd64]
packages: [numpy==1.26.2, express@4.18.0]
"""


def a_recipe(parent: Path, name: str = "python-3.11-ml", version: str = "1.3.2", **files: str | None) -> Path:
    """Write a recipe; `files` by name with `_` for `.` and `-` are added, changed, or with None left out."""
    directory = parent / name
    directory.mkdir(parents=True)
    texts: dict[str, str | None] = {
        "manifest.yaml": RECIPE.format(name=name, version=version),
        "setup.sh": SCRIPT,
        "setup-ubuntu-amd64.sh": SCRIPT,
        "setup-rhel-amd64.sh": SCRIPT,
    }
    names = {file.replace(".", "_").replace("-", "_"): file for file in texts}
    for key, text in files.items():
        texts[names.get(key, key)] = text
    for file, text in texts.items():
        if text is not None:
            (directory / file).write_text(text)
    return directory


def a_tree(parent: Path, name: str = "tool", version: str = "1.0.0", more: str = "") -> Path:
    """Write a tree with a program, a link to it and an empty directory."""
    directory = parent / f"{name}-{version}"
    (directory / "isolated/bin").mkdir(parents=True)
    (directory / "isolated/var/empty").mkdir(parents=True)
    (directory / "isolated/bin/tool").write_bytes(b"#!/bin/sh\n")
    (directory / "isolated/bin/tool").chmod(0o700)
    os.symlink("tool", directory / "isolated/bin/t")
    os.symlink("/bin/tool", directory / "isolated/var/absolute")
    (directory / "runtime.yml").write_text(
        f'name: {name}\nversion: "3.11"\nmounts:\n  - {{source: isolated/bin, target: /bin}}\n{more}'
    )
    return directory


def an_elf(machine: int) -> bytes:
    """Return the beginning of an ELF file for an architecture: 62 is x86-64, 183 is aarch64."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + machine.to_bytes(2, "little") + bytes(8)
