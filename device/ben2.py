"""BenCommunication protocol v2, the device's side: authentic requests and replies.

    from ben2 import client

    board = client("192.168.1.10", 8585)
    board.send({"action": "echo", "data": "hello"})                     # 'hello'
    board.send({"action": "dhtsensor", "data": 21.5}, noreturn=True)    # {}, when the server has it

`key.sec` is a copy of the server's key file. `send` returns what the handler returned, None if it failed. It repeats lost
datagrams, and the handler runs once. Unknown: the request may have run. Any other OSError: it did not run. On ESP8266 and ESP32,
`rtc=machine.RTC()` keeps the session over deep sleep.
"""

import json
import os
import socket
import time
from hashlib import sha256

try:
    from cryptolib import aes
except ImportError:  # older firmware
    from ucryptolib import aes

CBC = 2
DAY = 86400000
LAST = 0x3FFFFFFF
ALIVE = 0xFFFF
SAVED = 62
AGAIN = object()
REFUSED = object()


class Unknown(OSError):
    pass


class Hmac:
    def __init__(self, key):
        self.i = bytearray(b"\x36" * 64)
        self.o = bytearray(b"\x5c" * 64)
        for n in range(32):
            self.i[n] ^= key[n]
            self.o[n] ^= key[n]

    def digest(self, *parts):
        inner = sha256(self.i)
        for part in parts:
            inner.update(part)
        outer = sha256(self.o)
        outer.update(inner.digest())
        return outer.digest()

    def tag(self, *parts):
        return self.digest(*parts)[:16]


def same(a, b):  # in constant time
    difference = len(a) ^ len(b)
    for x, y in zip(a, b):
        difference |= x ^ y
    return difference == 0


class client:
    def __init__(self, host, port, timeout=15, keyfile="key.sec", buffersize=1536, rtc=None):
        if not 0 < timeout <= 15:
            raise ValueError("timeout must be at most 15 s")
        if buffersize < 512:
            raise ValueError("buffersize must be at least 512")
        with open(keyfile, "rb") as file:
            self.k = Hmac(sha256(file.read()).digest())
        self.id = self.k.digest(b"ben2 id")[:8]
        self.server = (host, port)
        self.rto = int(timeout * 1000) // 15 or 1  # 1 + 2 + 4 + 4 + 4
        self.size = buffersize
        self.rtc = rtc
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sid = None
        if rtc:
            self.load()

    def send(self, request, noreturn=False):
        text = str(request).encode()
        text += b" " * (16 - len(text) % 16)
        if len(text) + 46 > self.size:
            raise ValueError("the request is longer than buffersize")
        flags = min(self.size // 512 - 1, 15) << 4 | (1 if noreturn else 0)
        if self.sid and (self.ctr >= LAST or not 0 <= self.now() <= DAY):
            self.sid = None
        for _ in range(2):
            if self.sid is None:
                self.forget()
                nd, grant = self.open(bytes(8))
                if grant is None:
                    raise OSError(110)  # ETIMEDOUT
                self.start(nd, grant)
            result = self.ask(text, flags)
            if result is not REFUSED:
                return result
            self.forget()
        raise OSError(16)  # EBUSY

    def open(self, old):
        nd = os.urandom(16)
        down = Hmac(self.k.digest(b"ben2 down"))

        def check(d):
            if len(d) == 39 and d[:2] == b"\xb2\x02" and same(d[23:], down.tag(d[:7], nd, d[7:23])):
                return d

        head = b"\xb2\x01" + self.id + nd + old
        return nd, self.exchange(head + Hmac(self.k.digest(b"ben2 up")).tag(head), check)

    def start(self, nd, grant):
        self.derive(grant[2:4], self.k.digest(b"ben2 session", nd, grant[2:5], grant[7:23]))
        self.first = b"\xb2\x03" + grant[2:5] + self.id + nd
        self.ctr = 0
        self.began = time.ticks_ms()

    def derive(self, route, p):
        self.p = p
        p = Hmac(p)
        self.ke, self.ka = p.digest(b"\1"), Hmac(p.digest(b"\2"))
        self.kre, self.kra = p.digest(b"\3"), Hmac(p.digest(b"\4"))
        self.sid = route + p.digest(b"\5")[:6]

    def ask(self, text, flags):
        self.ctr += 1
        sent = time.ticks_ms()
        ctr = self.ctr.to_bytes(4, "big")
        if self.ctr == 1:
            self.began = sent
            d = self.first
        else:
            self.save()  # first: a number is never used twice
            d = b"\xb2\x04" + self.sid + ctr + self.now().to_bytes(4, "big")
        d += bytes([flags])
        d += self.cipher(self.ke, ctr).encrypt(text)
        d += self.ka.tag(d)
        believes = self.ctr > 1

        def check(d):
            if d[:2] == b"\xb2\x05" and len(d) >= 23 and d[2:6] == ctr:
                if len(d) % 16 == 7 and same(d[-16:], self.kra.tag(b"\x05", self.sid, d[2:-16])):
                    return d
            elif believes and d == b"\xb2\x06" + self.sid:
                return AGAIN

        r = self.exchange(d, check)
        if r is AGAIN:  # anybody can send it, so the signed GRANT decides
            nd, grant = self.open(self.sid)
            quiet = grant and int.from_bytes(grant[5:7], "big") or 0
            if quiet == ALIVE:
                believes = False
                r = self.exchange(d, check)
            elif quiet >= time.ticks_diff(time.ticks_ms(), sent) + 1000:
                self.forget()
                self.start(nd, grant)
                return self.ask(text, flags)
            else:
                r = None
        if r is None:
            self.forget()
            raise Unknown("the request may have run")
        if r[6] == 2:
            return REFUSED
        if self.ctr == 1:
            self.save()
        if r[6] == 1:
            return {}
        text = self.cipher(self.kre, ctr).decrypt(r[7:-16]).strip().decode()
        try:
            return json.loads(text)["data"]
        except Exception:  # no JSON, or nothing under "data"
            return text

    def cipher(self, key, ctr):
        return aes(key, CBC, aes(key, CBC, bytes(16)).encrypt(ctr + bytes(12)))

    def exchange(self, datagram, check):
        rto = self.rto
        for _ in range(5):
            try:
                self.socket.sendto(datagram, self.server)
            except OSError:
                pass  # the network is down: a lost datagram
            end = time.ticks_add(time.ticks_ms(), rto * (192 + os.urandom(1)[0] // 2) >> 8 or 1)
            rto = min(rto * 2, self.rto * 4)
            while True:
                left = time.ticks_diff(end, time.ticks_ms())
                if left <= 0:
                    break
                self.socket.settimeout(left / 1000)
                try:
                    d = self.socket.recvfrom(self.size)[0]
                except OSError:
                    continue
                r = check(d)  # None: noise
                if r is not None:
                    return r

    def now(self):
        return time.ticks_diff(time.ticks_ms(), self.began)

    def save(self):
        if self.rtc:
            s = b"\xb2\x53" + self.sid + self.p
            for n in (self.ctr, self.now(), int(time.time())):
                s += n.to_bytes(4, "big")
            self.store(s + self.k.digest(b"ben2 state", s)[:8])

    def load(self):
        s = self.rtc.memory()[:SAVED]
        if s[:2] != b"\xb2\x53" or not same(s[54:], self.k.digest(b"ben2 state", s[:54])[:8]):
            return
        self.ctr, t, wall = [int.from_bytes(s[n : n + 4], "big") for n in (42, 46, 50)]
        slept = int(time.time()) - wall
        if 0 <= slept <= DAY // 1000 and t + slept * 1000 <= DAY:
            self.derive(s[2:4], s[10:42])
            self.began = time.ticks_add(time.ticks_ms(), -t - slept * 1000)

    def store(self, state):  # the rest belongs to the application
        self.rtc.memory(state + self.rtc.memory()[SAVED:])

    def forget(self):
        self.sid = None
        if self.rtc and self.rtc.memory()[:2] == b"\xb2\x53":
            self.store(bytes(SAVED))
