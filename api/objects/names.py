"""What names, labels, annotations and finalizers may look like, in Kubernetes' words. Pure.

Every function returns what is wrong, or an empty string.
Source: k8s.io/apimachinery/pkg/util/validation.
"""

import re

from api import runtime_spec
from api.kinds import NETWORK, Kind
from api.meta import RBAC_GROUP
from api.types import network

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = rf"({_QUALIFIED})?"
_IS_LABEL, _IS_SUBDOMAIN = re.compile(_LABEL), re.compile(_SUBDOMAIN)
_IS_QUALIFIED, _IS_LABEL_VALUE = re.compile(_QUALIFIED), re.compile(_LABEL_VALUE)

MOST_LABEL, MOST_SUBDOMAIN = 63, 253
MOST_CRON_JOB = 52
"""Of a label's characters, 11 are left for what the names of a CronJob's jobs end in, as in Kubernetes."""
ANNOTATIONS_MOST_BYTES = 256 << 10

_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_LABEL_VALUE}')"
)
_KEY_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)


def most_characters(kind: Kind) -> int:
    """Return how long a name of this kind may be."""
    if kind.name == "Runtime":
        return runtime_spec.MAX_NAME_LENGTH
    return {"Job": MOST_LABEL, "Workflow": MOST_LABEL, "Namespace": MOST_LABEL, "CronJob": MOST_CRON_JOB}.get(
        kind.name, MOST_SUBDOMAIN
    )


def problem_with_name(kind: Kind, name: str) -> str:
    """Say what is wrong with the name of an object of this kind.

    Names of jobs become labels and host names, so they are labels, as namespaces are, and what jobs are named
    after; the names of runtimes have their own grammar.
    """
    if kind.name == "Runtime":
        try:
            runtime_spec.check_name(name)
        except ValueError as error:
            return str(error)
        return ""
    if kind.group == RBAC_GROUP:
        return _problem_with_segment(name)
    if kind.name == NETWORK.name and name in network.RESERVED:
        return f"where a job names its network, {name} has a meaning of its own: choose another name"
    if len(name) > most_characters(kind):
        return f"must be no more than {most_characters(kind)} characters"
    if most_characters(kind) <= MOST_LABEL:
        return "" if _IS_LABEL.fullmatch(name) else _LABEL_RULE
    return "" if _IS_SUBDOMAIN.fullmatch(name) else _SUBDOMAIN_RULE


def _problem_with_segment(name: str) -> str:
    """Say what is wrong with a name that need be no more than part of a path, such as `system:admin`."""
    if name in (".", ".."):
        return f"may not be '{name}'"
    wrong = next((part for part in "/%" if part in name), "")
    if wrong:
        return f"may not contain '{wrong}'"
    return "" if name.isprintable() and len(name) <= MOST_SUBDOMAIN else "must be at most 253 printable characters"


def problem_with_label_key(key: str) -> str:
    """Say what is wrong with the key of a label or annotation, or with a finalizer's name."""
    prefix, slash, name = key.rpartition("/")
    if slash and not prefix:
        return "prefix part must be non-empty"
    if prefix and (len(prefix) > MOST_SUBDOMAIN or not _IS_SUBDOMAIN.fullmatch(prefix)):
        return f"prefix part {_SUBDOMAIN_RULE}"
    if len(name) > MOST_LABEL:
        return f"name part must be no more than {MOST_LABEL} characters"
    return "" if _IS_QUALIFIED.fullmatch(name) else _KEY_RULE


def problem_with_label_value(value: str) -> str:
    """Say what is wrong with a label's value."""
    if len(value) > MOST_LABEL:
        return f"must be no more than {MOST_LABEL} characters"
    return "" if _IS_LABEL_VALUE.fullmatch(value) else _VALUE_RULE
