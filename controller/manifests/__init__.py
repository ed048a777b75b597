"""The declared sources: the watched directory and the inbox table, applied and pruned.

Here: reading sources, errors with file:line, apply as `manifests/SOURCE`, prune.
Never here: what a manifest means (`api/objects`), and any reconciling of the host.
"""
