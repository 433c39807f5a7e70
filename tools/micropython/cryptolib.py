"""MicroPython's `cryptolib`, as far as boards have it in common: AES in CBC mode. The AES itself is Node's."""

import _bridge

BLOCK = 16
CBC = 2


def _give(result, out):
    if out is None:
        return result
    if len(out) < len(result):
        raise ValueError("output too small")
    out[: len(result)] = result
    return out


class aes:
    def __init__(self, key, mode, iv=None):
        if mode != CBC:
            raise ValueError("mode")
        if len(key) not in (16, 32):
            raise ValueError("key")
        if iv is None or len(iv) != BLOCK:
            raise ValueError("IV")
        self._key = bytes(key).hex()
        self._iv = bytes(iv)
        self._direction = None

    def encrypt(self, data, out=None):
        result = self._run("encrypt", data)
        self._iv = result[-BLOCK:] or self._iv
        return _give(result, out)

    def decrypt(self, data, out=None):
        result = self._run("decrypt", data)
        self._iv = bytes(data)[-BLOCK:] or self._iv
        return _give(result, out)

    def _run(self, direction, data):
        if self._direction not in (None, direction):
            raise ValueError("can't encrypt & decrypt")
        self._direction = direction
        if len(data) % BLOCK:
            raise ValueError("blksize % 16")
        if not data:
            return b""
        return bytes.fromhex(_bridge.aesCbc(" ".join((direction, self._key, self._iv.hex(), bytes(data).hex()))))
