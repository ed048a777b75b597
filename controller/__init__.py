"""What runwright does: reconcile declared objects with the host.

Here: the engine, the kinds, the manifest sources, the launcher and the sandbox. Arrows point down:
manager, manifests, kinds, engine and launcher, sandbox and cgroup, linux.
"""
