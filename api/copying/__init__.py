"""Files on their way between a machine and a run: trees as tar streams, packed and unpacked, trusting neither side.

Nothing but the standard library: it is executed inside of runs as well (`controller.launcher.copy_deed`).
"""
