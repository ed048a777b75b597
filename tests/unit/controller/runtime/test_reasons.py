"""Every reason that installing and fetching may give is one that is documented."""

import ast
from pathlib import Path

import controller.registry
import controller.runtime
from api.types.registry import RegistryReason
from api.types.runtime import RuntimeReason

_ERRORS = ("TransientError", "TerminalError")
_NEVER_SHOWN = {"NoLongerWanted"}  # Caught by who raised it: the next pass looks at what is wanted now.


def reasons_in(package) -> set[str]:
    """Return the texts that are given as reasons, to the errors and in tables of them."""
    found = set()
    for path in Path(package.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = ast.unparse(node.func)
                if name in _ERRORS or name == "super().__init__":
                    found.add(node.args[0].value)
    return {reason for reason in found if isinstance(reason, str) and reason.isalnum()}


def test_reasons_of_installs_and_registries_are_documented():
    raised = reasons_in(controller.runtime) | reasons_in(controller.registry)

    assert {"InvalidArchive", "Unreachable", "Conflict", "InvalidCatalogue"} <= raised
    assert raised - _NEVER_SHOWN <= {reason.value for reason in (*RuntimeReason, *RegistryReason)}


def test_reasons_of_registries_are_documented_as_such():
    assert reasons_in(controller.registry) - {"RuntimeNotFound"} <= {reason.value for reason in RegistryReason}
