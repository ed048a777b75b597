"""What runwright does: reconcile declared objects with the host.

Rooms only: the daemon as a whole, the manifest sources, the kinds, the engine, the launcher and the sandbox. Arrows
point down: daemon, manifests, job and runtime, registry, engine and launcher, sandbox, cgroup, linux. No parts lie here
but `__main__`, the way in.
"""
