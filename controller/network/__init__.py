"""Networks of jobs: which there are, who has which address, who may reach whom, and by which name.

Here: the Network kind, addresses, rules and names. Never here: the kernel's words for it (`controller.netlink`), jobs.
"""
