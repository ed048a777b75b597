"""The objects, one file a kind: frozen pydantic models with Kubernetes field names.

Here: fields, their meaning, units, defaults and validation. Never here: behaviour, I/O.
"""
