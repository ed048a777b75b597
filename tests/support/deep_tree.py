"""A tree of directories that is deeper than any path may be long."""

import os
from pathlib import Path


def make_deep_tree(root: Path, levels: int) -> Path:
    """Make so many directories below one another in `root`, which is made if need be; return `root`."""
    root.mkdir(exist_ok=True)
    at = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("deeper", dir_fd=at)
        below = os.open("deeper", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    return root
