# Runs first, as boot.py does on a board. Adds the parts of a board's firmware that the VM's build lacks.
import os
import sys
import time
import _bridge
import cryptolib
import socket

os.urandom = lambda size: bytes.fromhex(_bridge.random(size))

# Older programs import the modules under these names.
sys.modules["uos"] = os
sys.modules["ucryptolib"] = cryptolib
sys.modules["usocket"] = socket

# The VM of 1.20 has no wall clock.
if not hasattr(time, "time"):

    class _Time:
        ticks_ms, ticks_add, ticks_diff = time.ticks_ms, time.ticks_add, time.ticks_diff
        time = staticmethod(lambda: _bridge.seconds())

    sys.modules["time"] = _Time
