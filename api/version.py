"""The version that is running; `pyproject.toml` takes it from here, as finding it out costs each `rnx` some time."""

VERSION = "0.1.0"
