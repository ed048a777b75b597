"""Objects as YAML that reads back as it is: what our reader would take for something else is quoted.

PyYAML writes by YAML 1.1, and files are read by what Kubernetes takes for a number: `08`, `1e3` and `0o17` are texts
to the one and numbers to the other.
"""

from typing import Any

import yaml

from api.objects.scalars import NodeError, plain

_ENDS_OF_LINES = "\x85\u2028\u2029\ufeff"
"""Characters that YAML folds or drops unless they are escaped."""
_TEXT = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):
    pass


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(character in text for character in _ENDS_OF_LINES) else None if _is_plain(text) else "'"
    return dumper.represent_scalar(_TEXT, text, style=style)


def _is_plain(text: str) -> bool:
    try:
        return isinstance(plain(yaml.ScalarNode(_TEXT, text)), str)
    except NodeError:
        return False


_Dumper.add_representer(str, _represent)


def dump(document: Any, *, sort_keys: bool) -> str:
    """Return a JSON value as YAML, its fields in the order that they have, or sorted."""
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=sort_keys, allow_unicode=True, width=1000))
