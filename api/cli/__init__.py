"""`rnx`, the command line: one file a command; parse, one API call, render.

May import the client and the types only. Never here: the store, the kernel, the HTTP server.
"""
