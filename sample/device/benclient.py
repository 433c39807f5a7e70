"""BenCommunication protocol v1, the device's side: one encrypted request over UDP, one reply.

    from benclient import client

    board = client("192.168.1.10", 8585)
    board.send({"action": "echo", "data": "hello"})                     # 'hello'
    board.send({"action": "dhtsensor", "data": 21.5}, noreturn=True)    # {}, without waiting

For MicroPython on ESP8266, ESP32, Pico W and similar boards. The interface is that of the upstream client. It reads `key.sec`,
a copy of the server's key file. `send` returns the handler's value, or None if the handler failed. It raises OSError if no
reply arrives in time.
"""

import json
import os
import socket
from hashlib import sha256

try:
    from cryptolib import aes
except ImportError:  # firmware from before the modules lost their "u"
    from ucryptolib import aes

CBC = 2
BLOCK = 16


class client:
    def __init__(self, host, port, timeout=10, keyfile="key.sec", buffersize=4096):
        with open(keyfile, "rb") as file:
            self.key = sha256(file.read()).digest()
        self.server = (host, port)
        self.buffersize = buffersize
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # The upstream server answers to its own port number, not to the port of the request.
        self.socket.bind(("0.0.0.0", port))
        self.socket.settimeout(timeout)

    def send(self, request, noreturn=False):
        if noreturn:
            request = dict(request, noreturn=True)
        self.socket.sendto(b"/GETID", self.server)
        sealed_id = self.receive()
        id = self.open(sealed_id, self.receive())
        data, iv = self.seal(str(request))
        envelope = {"hash": self.digest(id, data, iv), "data": data, "iv": iv}
        self.socket.sendto(str(envelope).encode(), self.server)
        if noreturn:
            return {}

        # Only their order tells the datagrams of a reply apart.
        hash = self.receive()
        iv = self.receive()
        data = self.receive()
        if self.digest(id, data, iv) != hash:
            raise ValueError("the hash of the reply is wrong")
        text = self.open(data, iv).decode()
        try:
            return json.loads(text)["data"]
        except Exception:  # not JSON, or no "data"
            return text

    def receive(self):
        return self.socket.recvfrom(self.buffersize)[0]

    def seal(self, text):
        plain = text.encode()
        plain += b" " * (BLOCK - len(plain) % BLOCK)
        iv = os.urandom(BLOCK)
        return aes(self.key, CBC, iv).encrypt(plain), iv

    def open(self, data, iv):
        return aes(self.key, CBC, iv).decrypt(data).strip()

    def digest(self, id, data, iv):
        return sha256(id + data + iv).digest()
