"""What a person's file says for flags of `rnx job run` that the person left out, and what short names stand for. Pure
but for asking click which flags were given.
"""

from typing import Any

import click
from click.core import ParameterSource

from api.cli.client_config import ClientConfig


def added_to(flags: dict[str, Any], config: ClientConfig) -> dict[str, Any]:
    """Return the flags with the file's values in place of those that were not given."""
    of = click.get_current_context().get_parameter_source
    defaults = config.jobs
    offered = {
        "runtime": defaults.runtime,
        "max_cpu": defaults.cpu,
        "max_memory": defaults.memory,
        "max_runtime": defaults.seconds,
    }
    added = {name: value for name, value in offered.items() if value and of(name) is ParameterSource.DEFAULT}
    given = flags | added
    return given | {"runtime": config.runtime(given["runtime"])}
