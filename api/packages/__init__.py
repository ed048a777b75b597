"""What a package of a runtime is: its files, names, archives and registries; reading, checking and packing them.

Here: local files only. Never here: the daemon, the network, installing (`controller/runtime/`).
"""
