"""Asks all properties, one line of JSON each."""

import calls
import devices
import files
import identity
import kernel
import network
import processes
from harness import ask_all

GROUPS = (calls, devices, files, identity, kernel, network, processes)

if __name__ == "__main__":
    ask_all()
