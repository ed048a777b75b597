"""Devices of this host by the Container Device Interface: what there is, who gets which, what runs need.

Here: reading specs, choosing devices, and turning what a spec says into nodes, files and variables of a sandbox.
Never here: jobs, the store, the making of a sandbox. Invariant: what a spec says and we cannot do is never left out.
"""
