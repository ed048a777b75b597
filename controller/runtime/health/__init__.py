"""Whether a runtime works: whole libraries, an interpreter that starts, imports that succeed, in the real sandbox.

One code for the `Healthy` condition, for `rnx runtime test`, and for what a new version must pass before it is used.
"""
