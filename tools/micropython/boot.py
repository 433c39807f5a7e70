# Run before anything else, as boot.py is on a board: what a board's firmware has and the VM's build lacks.
import os
import sys
import _bridge
import cryptolib
import socket

os.urandom = lambda size: bytes.fromhex(_bridge.random(size))

# Older programs import the modules under these names.
sys.modules["uos"] = os
sys.modules["ucryptolib"] = cryptolib
sys.modules["usocket"] = socket
