/**
 * The client of protocol v2 for boards: the text of device/ben2.py. A test compares them, because a build in two formats can't find that
 * file in one way.
 */
export const BOARD_CLIENT_V2 = `"""BenCommunication protocol v2 for boards.

    from ben2 import client

    board = client("192.168.1.10", 8585)
    board.send({"action": "echo", "data": "hello"})  # 'hello'
    board.send({"action": "dhtsensor", "data": 21.5}, noreturn=True)  # {}

\`key.sec\`: a copy of the server's key file. \`send\` returns the handler's value, None if it failed. The handler runs
once. Unknown: the request may have run. Any other OSError: it did not. \`rtc=machine.RTC()\` keeps the session over deep sleep.
"""

import json
import os
import socket
import time
from errno import ETIMEDOUT
from hashlib import sha256

try:
    from cryptolib import aes
except ImportError:
    from ucryptolib import aes

CBC = 2
DAY = 86400000
SAVED = 62
ZERO = bytes(16)
REFUSED = object()


class Unknown(OSError):
    pass


class Hmac:
    def __init__(self, key):
        self.i = bytearray(b"\\x36" * 64)
        self.o = bytearray(b"\\x5c" * 64)
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


def same(a, b):  # in constant time
    wrong = len(a) ^ len(b)
    for n in range(min(len(a), len(b))):
        wrong |= a[n] ^ b[n]
    return wrong == 0


def since(ticks):
    return time.ticks_diff(time.ticks_ms(), ticks)


def be(number):
    return number.to_bytes(4, "big")


class client:
    def __init__(self, host, port, timeout=15, keyfile="key.sec", buffersize=1536, rtc=None):
        if not 0 < timeout <= 15:
            raise ValueError("timeout must be at most 15 s")
        if buffersize < 512:
            raise ValueError("buffersize is below 512")
        with open(keyfile, "rb") as file:
            self.k = Hmac(sha256(file.read()).digest())
        self.id = self.k.digest(b"ben2 id")[:8]
        self.server = host, port
        self.rto = int(timeout * 1000) // 15 or 1  # 1 + 2 + 4 + 4 + 4
        self.size = buffersize
        self.rtc = rtc
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sid = None
        if rtc:
            self.load()

    def send(self, request, noreturn=False):
        text = str(request).encode()
        if len(text) // 16 * 16 + 62 > self.size:
            raise ValueError("the request is longer than buffersize")
        flags = min(self.size // 512 - 1, 15) << 4 | bool(noreturn)
        sid, self.sid = self.sid, None  # an exception ends the session
        if sid and (self.ctr >= 0x3FFFFFFF or not 0 <= since(self.began) <= DAY):
            sid = None
        if sid and self.rtc and self.rtc.memory()[:SAVED] != self.saved:  # another client used it
            sid = None
        for _ in range(2):
            if sid is None:
                self.forget()
                nd, grant = self.open(ZERO[:8])
                if grant is None:
                    raise OSError(ETIMEDOUT)
                sid = self.start(nd, grant)
            result = self.ask(sid, text, flags)
            if result is not REFUSED:
                return result
            sid = None
        raise OSError(16)  # EBUSY

    def open(self, old, other=lambda d: False):
        nd = os.urandom(16)
        down = Hmac(self.k.digest(b"ben2 down"))

        def check(d):
            return same(d[23:], down.digest(d[:7], nd, old, d[7:23])[:16]) if d[:2] == b"\\xb2\\x02" else other(d)

        head = b"\\xb2\\x01" + self.id + nd + old
        return nd, self.exchange(head + Hmac(self.k.digest(b"ben2 up")).digest(head)[:16], check)

    def start(self, nd, grant):
        self.first = b"\\xb2\\x03" + grant[2:5] + self.id + nd
        self.ctr = 0
        return self.derive(grant[2:4], self.k.digest(b"ben2 session", nd, grant[2:5], grant[7:23]))

    def derive(self, route, p):
        self.p = p
        p = Hmac(p)
        self.ke, self.ka = p.digest(b"\\1"), Hmac(p.digest(b"\\2"))
        self.kre, self.kra = p.digest(b"\\3"), Hmac(p.digest(b"\\4"))
        return route + p.digest(b"\\5")[:6]

    def ask(self, sid, text, flags):
        self.ctr += 1
        sent = time.ticks_ms()
        ctr = be(self.ctr)
        if self.ctr == 1:
            self.began = sent
            d = bytearray(self.first)
        else:
            self.save(sid)  # first: no number is used twice
            d = bytearray(b"\\xb2\\x04" + sid + ctr + be(since(self.began)))
        # The first block becomes the IV of the rest.
        body = bytearray(ctr + ZERO[:12])
        body.extend(text)
        body.extend(b" " * (16 - len(text) % 16))
        aes(self.ke, CBC, ZERO).encrypt(body, body)
        d.append(flags)
        d.extend(memoryview(body)[16:])
        tag = self.ka.digest(d)[:16]
        d.extend(tag)
        trusts = self.ctr > 1

        def check(d):
            if d[:6] == b"\\xb2\\x05" + ctr:
                return same(d[-16:], self.kra.digest(b"\\x05", tag, memoryview(d)[2:-16])[:16])
            return trusts and d == b"\\xb2\\x06" + sid

        r = self.exchange(d, check)
        if r and r[1] == 6:  # AGAIN may be forged: a GRANT decides
            trusts = False
            nd, r = self.open(sid, check)
        if r and r[1] == 2:
            quiet = int.from_bytes(r[5:7], "big")
            if quiet == 0xFFFF:  # the session is alive
                r = self.exchange(d, check)
            elif since(sent) + 1000 <= quiet <= 30000:
                self.forget()
                return self.ask(self.start(nd, r), text, flags)
            else:
                r = None
        if r is None:
            self.forget()
            raise Unknown("the request may have run")
        if r[6] == 2:
            return REFUSED
        if self.ctr == 1:
            self.save(sid)
        self.sid = sid
        if r[6] == 1:
            return {}
        body = bytearray(memoryview(r)[7:-16])
        iv = aes(self.kre, CBC, ZERO).encrypt(ctr + ZERO[:12])
        aes(self.kre, CBC, iv).decrypt(body, body)
        try:
            return json.loads(body)["data"]
        except (ValueError, KeyError, TypeError):  # no JSON, or no "data"
            return str(body, "utf8").strip()

    def exchange(self, datagram, check):
        rto = self.rto
        for _ in range(5):
            try:
                self.socket.sendto(datagram, self.server)
            except OSError:
                pass  # a lost datagram
            end = time.ticks_add(time.ticks_ms(), rto * (192 + os.urandom(1)[0] // 2) >> 8 or 1)
            rto = min(rto * 2, self.rto * 4)
            while True:
                left = -since(end)
                if left <= 0:
                    break
                try:
                    self.socket.settimeout(left / 1000)
                    d = self.socket.recvfrom(self.size)[0]
                except OSError:
                    continue
                if check(d):  # or it is noise
                    return d

    def save(self, sid):
        if self.rtc:
            s = b"\\xb2\\x53" + sid + self.p
            s += be(self.ctr) + be(since(self.began)) + be(int(time.time()))
            self.store(s + self.k.digest(b"ben2 state", s)[:8])

    def load(self):
        s = self.rtc.memory()[:SAVED]
        if not same(s[54:], self.k.digest(b"ben2 state", s[:54])[:8]):
            return
        self.ctr, t, wall = [int.from_bytes(s[n : n + 4], "big") for n in (42, 46, 50)]
        slept = int(time.time()) - wall
        if slept >= 0 and t + slept * 1000 <= DAY:
            self.saved = s
            self.began = time.ticks_add(time.ticks_ms(), -t - slept * 1000)
            self.sid = self.derive(s[2:4], s[10:42])

    def store(self, state):  # the rest is the application's
        self.saved = state
        self.rtc.memory(state + self.rtc.memory()[SAVED:])

    def forget(self):
        self.sid = None
        if self.rtc and self.rtc.memory()[:2] == b"\\xb2\\x53":
            self.store(bytes(SAVED))
`;
