"""MicroPython's `socket`, as far as UDP needs it. Its calls block the VM's thread, as they do on a board.

A board of these tests has one socket at a time. `bind` ignores its argument, and takes the address that the board was
started with: each board on this machine needs its own, and none may have the server's.
"""

import _bridge

AF_INET = 2
SOCK_DGRAM = 2


def _check(code):
    if code:
        raise OSError(code)


class socket:
    def __init__(self, family=AF_INET, kind=SOCK_DGRAM, protocol=0):
        self._timeout_ms = None

    def bind(self, address):
        _check(_bridge.bind())

    def settimeout(self, seconds):
        self._timeout_ms = None if seconds is None else round(seconds * 1000)

    def sendto(self, data, address):
        data = data.encode() if isinstance(data, str) else bytes(data)
        # MicroPython's hex() of nothing is bytes.
        _check(_bridge.sendTo("%s %d %s" % (address[0], address[1], data.hex() or "")))
        return len(data)

    def recvfrom(self, size):
        received = _bridge.receive(size, self._timeout_ms)
        if isinstance(received, int):
            raise OSError(received)
        host, port, data = received.split(" ")
        return bytes.fromhex(data), (host, int(port))

    def close(self):
        _check(_bridge.close())
