"""What runwright says: types, wire, client and command line.

Here: the objects, what may be done to them, the HTTP surface, the typed client and `rnx`.
Never here: SQL, the kernel, files of the host. What the HTTP surface needs from the layers above
it names as a `Protocol` in `ports.py`, and `controller/daemon/manager.py` plugs it in.
"""
