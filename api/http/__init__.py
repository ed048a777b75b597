"""The HTTP surface, in Kubernetes paths: routes, watches, tables, logs, health, metrics.

The only asyncio of the project. Here: transport. Never here: what a verb means (`api/objects`),
or how objects are kept (`state`).
"""
