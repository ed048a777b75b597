"""Links, addresses and rules of the kernel, for networks: the only importer of pyroute2.

Here: what one deed is in the kernel's words. Never here: which networks there are, and who may reach whom.
"""
