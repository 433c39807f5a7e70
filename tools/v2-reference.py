"""Writes test/vectors/v2.json: protocol v2, from docs/protocol-v2.md alone.

    python3 tools/v2-reference.py            writes the file
    python3 tools/v2-reference.py --check    compares it, exits with 1 if it differs

It shares no code with the library or the board, and is slow on purpose: each line can be compared with the specification. AES is
written from FIPS 197. No value is random, so every run writes the same bytes.
"""

import hashlib
import hmac
import json
import sys
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "test" / "vectors" / "v2.json"


# AES-256, FIPS 197


def multiply(a, b):
    """The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11B
        b >>= 1
    return product


def substitute(value):
    inverse = next((x for x in range(256) if multiply(value, x) == 1), 0)
    result = 0x63
    for shift in range(5):
        result ^= (inverse << shift | inverse >> (8 - shift)) & 0xFF
    return result


SBOX = [substitute(value) for value in range(256)]


def expand(key):
    words = [list(key[i : i + 4]) for i in range(0, 32, 4)]
    round_constant = 1
    for i in range(8, 60):
        word = words[i - 1]
        if i % 8 == 0:
            word = [SBOX[x] for x in word[1:] + word[:1]]
            word[0] ^= round_constant
            round_constant = multiply(round_constant, 2)
        elif i % 8 == 4:
            word = [SBOX[x] for x in word]
        words.append([a ^ b for a, b in zip(words[i - 8], word)])
    return [sum(words[i : i + 4], []) for i in range(0, 60, 4)]


def mix(column):
    return [
        multiply(column[i], 2) ^ multiply(column[(i + 1) % 4], 3) ^ column[(i + 2) % 4] ^ column[(i + 3) % 4]
        for i in range(4)
    ]


def encrypt_block(key, block):
    keys = expand(key)
    state = xor(block, keys[0])
    for number in range(1, 15):
        state = [SBOX[x] for x in state]
        # Row r of the state, which stands column by column, moves by r columns.
        state = [state[(i + 4 * (i % 4)) % 16] for i in range(16)]
        if number < 14:
            state = sum((mix(state[i : i + 4]) for i in range(0, 16, 4)), [])
        state = list(xor(state, keys[number]))
    return bytes(state)


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def encrypt_cbc(key, iv, text):
    blocks, previous = [], iv
    for i in range(0, len(text), 16):
        previous = encrypt_block(key, xor(text[i : i + 16], previous))
        blocks.append(previous)
    return b"".join(blocks)


# The protocol


def H(k, *parts):
    return hmac.new(k, b"".join(parts), hashlib.sha256).digest()


def T(k, *parts):
    return H(k, *parts)[:16]


def number(value, size):
    return value.to_bytes(size, "big")


def seal(key, ctr, text):
    padded = text + b" " * (16 - len(text) % 16)
    iv = encrypt_block(key, number(ctr, 4) + bytes(12))
    return iv, encrypt_cbc(key, iv, padded)


class Key:
    def __init__(self, contents):
        self.contents = contents
        self.K = hashlib.sha256(contents).digest()
        self.kid = H(self.K, b"ben2 id")[:8]
        self.Kc = H(self.K, b"ben2 up")
        self.Ks = H(self.K, b"ben2 down")


class Session:
    def __init__(self, key, nd, ck, ns):
        self.key, self.nd, self.ck, self.ns = key, nd, ck, ns
        self.P = H(key.K, b"ben2 session", nd, ck, ns)
        self.ke, self.ka, self.kre, self.kra = (H(self.P, bytes([n])) for n in (1, 2, 3, 4))
        self.sid = ck[:2] + H(self.P, b"\5")[:6]

    def request(self, ctr, t, flags, text):
        iv, ct = seal(self.ke, ctr, text)
        if ctr == 1:
            head = b"\xb2\x03" + self.ck + self.key.kid + self.nd
        else:
            head = b"\xb2\x04" + self.sid + number(ctr, 4) + number(t, 4)
        head += bytes([flags])
        return iv, ct, head + ct + T(self.ka, head, ct)

    def reply(self, request, ctr, flags, text):
        iv, ct = seal(self.kre, ctr, text) if flags == 0 else (b"", b"")
        covered = number(ctr, 4) + bytes([flags]) + ct
        return iv, ct, b"\xb2\x05" + covered + T(self.kra, b"\x05", request[-16:], covered)

    def saved(self, ctr, t, wall):
        state = b"\xb2\x53" + self.sid + self.P + number(ctr, 4) + number(t, 4) + number(wall, 4)
        return state + H(self.key.K, b"ben2 state", state)[:8]


def opening(key, nd, old):
    head = b"\xb2\x01" + key.kid + nd + old
    return head + T(key.Kc, head)


def server_nonce(S, key, nd, rt, second, address):
    return H(S, key.kid, nd, number(rt, 2), number(second, 6), address)[:16]


def grant(key, nd, old, ck, quiet, ns):
    quiet = number(quiet, 2)
    return b"\xb2\x02" + ck + quiet + ns + T(key.Ks, b"\xb2\x02", ck, quiet, nd, old, ns)


# The vectors


def filler(name, size):
    """Bytes that look random and are the same in each run."""
    return hashlib.sha256(b"v2 vectors: " + name.encode()).digest()[:size]


def shown(values):
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in values.items()}


KEYS = {
    "32 bytes": Key(b"k" * 32),
    "1 byte": Key(b"\0"),
    "100 bytes": Key(bytes(range(100))),
}
S = filler("S", 32)

GRANTS = [
    # name, key, route, second, address, old, quiet
    ("first opening, IPv4", "32 bytes", 0, 7, bytes([192, 168, 1, 7]), bytes(8), 0),
    ("the slot has wrapped", "32 bytes", 0, 100_000, bytes([10, 0, 0, 1]), bytes(8), 0),
    ("a route, IPv6", "1 byte", 0x1234, 2**40 + 255, bytes.fromhex("20010db8000000000000000000000001"), bytes(8), 0),
    ("the old session is gone for 30 s", "100 bytes", 3, 31, bytes([127, 0, 0, 1]), b"\0\3" + filler("old", 6), 30_000),
    ("the old session is alive", "32 bytes", 0xFFFF, 256, bytes([127, 0, 0, 1]), b"\xff\xff" + filler("old", 6), 0xFFFF),
    ("nothing is known of the old session", "32 bytes", 2, 1, bytes([127, 0, 0, 1]), b"\0\1" + filler("old", 6), 0),
]

REQUESTS = [
    # name, ctr, t, flags, text
    ("first", 1, 0, 0x20, "{'action': 'echo', 'data': 'hello'}"),
    ("second", 2, 1234, 0x20, "{'action': 'echo', 'data': 'hello'}"),
    ("noreturn", 3, 86_400_000, 0x21, "{'action': 'log', 'data': 21.5}"),
    ("one byte", 4, 0, 0x00, "0"),
    ("15 bytes: one space", 5, 1, 0xF0, "{'action': 'a'}"),
    ("16 bytes: a block of spaces", 6, 2, 0x20, "{'action': 'ab'}"),
    ("17 bytes", 7, 3, 0x20, "{'action': 'abc'}"),
    ("not ASCII", 8, 4, 0x20, "{'action': 'echo', 'data': 'h\u00e9 \u20ac \U0001f600'}"),
    ("the last number", 2**30 - 1, 2**20, 0x20, "{'action': 'echo', 'data': %s}" % list(range(200))),
]

REPLIES = [
    # name, ctr, flags, text
    ("first", 1, 0, '{"data": "hello"}'),
    ("second", 2, 0, '{"data":"hello"}'),
    ("acknowledgement", 3, 1, ""),
    ("refusal", 4, 2, ""),
    ("not ASCII", 5, 0, '{"data":"h\u00e9 \u20ac \U0001f600"}'),
    ("15 bytes: one space", 6, 0, '{"data":"hell"}'),
    ("large", 2**30 - 1, 0, json.dumps({"data": list(range(200))})),
]


def grant_vector(name, key_name, rt, second, address, old, quiet):
    key = KEYS[key_name]
    nd = filler("nd " + name, 16)
    ck = number(rt, 2) + bytes([second % 256])
    ns = server_nonce(S, key, nd, rt, second, address)
    session = Session(key, nd, ck, ns)
    return shown(
        {
            "name": name,
            "key": key_name,
            "rt": rt,
            "second": second,
            "address": address,
            "nd": nd,
            "old": old,
            "open": opening(key, nd, old),
            "ck": ck,
            "quiet": quiet,
            "ns": ns,
            "grant": grant(key, nd, old, ck, quiet, ns),
            **{field: getattr(session, field) for field in ("P", "ke", "ka", "kre", "kra", "sid")},
        }
    )


def first_session():
    vector = grant_vector(*GRANTS[0])
    return Session(KEYS["32 bytes"], *(bytes.fromhex(vector[field]) for field in ("nd", "ck", "ns")))


def request_vector(session, name, ctr, t, flags, text):
    iv, ct, datagram = session.request(ctr, t, flags, text.encode())
    return shown(
        {"name": name, "ctr": ctr, "t": t, "flags": flags, "text": text, "iv": iv, "ct": ct, "datagram": datagram}
    )


def reply_vector(session, name, ctr, flags, text):
    request = session.request(ctr, 0, 0x20, b"{'action': 'echo'}")[2]
    iv, ct, datagram = session.reply(request, ctr, flags, text.encode())
    values = {"name": name, "ctr": ctr, "request": request, "flags": flags, "text": text, "iv": iv, "ct": ct}
    return shown({**values, "datagram": datagram})


def refused_vectors(session):
    """Datagrams for a server that has this session, each with the reason for which it is dropped."""
    key, nd = session.key, session.nd
    open_, text = opening(key, nd, bytes(8)), b"{'action': 'echo'}"
    req1, req = session.request(1, 0, 0, text)[2], session.request(2, 5, 0, text)[2]
    stranger = Key(b"another key")

    def flip(datagram, index):
        return datagram[:index] + bytes([datagram[index] ^ 1]) + datagram[index + 1 :]

    def retagged(head_and_ct):
        return head_and_ct + T(session.ka, head_and_ct)

    rows = [
        ("two bytes", b"\xb2\x01", "bad-shape"),
        ("an unknown type", b"\xb2\x00" + open_[2:], "bad-shape"),
        ("a type after the last one", b"\xb2\x07" + open_[2:], "bad-shape"),
        ("OPEN, one byte short", open_[:-1], "bad-shape"),
        ("OPEN, one byte long", open_ + b"\0", "bad-shape"),
        ("a GRANT", grant(key, nd, bytes(8), session.ck, 0, session.ns), "bad-shape"),
        ("a REP", session.reply(req1, 1, 0, b"{}")[2], "bad-shape"),
        ("an AGAIN", b"\xb2\x06" + session.sid, "bad-shape"),
        ("REQ1 without a block", req1[:30] + req1[-16:], "bad-shape"),
        ("REQ1, one byte short", req1[:-1], "bad-shape"),
        ("REQ, one byte long", req + b"\0", "bad-shape"),
        ("REQ without a block", req[:19] + req[-16:], "bad-shape"),
        ("REQ with number 0", retagged(req[:10] + number(0, 4) + req[14:-16]), "bad-shape"),
        ("REQ with number 1", retagged(req[:10] + number(1, 4) + req[14:-16]), "bad-shape"),
        ("REQ with number 2^30", retagged(req[:10] + number(2**30, 4) + req[14:-16]), "bad-shape"),
        ("REQ after 24 h and 1 ms", retagged(req[:14] + number(86_400_001, 4) + req[18:-16]), "bad-shape"),
        ("REQ with reserved flag 1", retagged(req[:18] + b"\x02" + req[19:-16]), "bad-shape"),
        ("REQ with reserved flag 3", retagged(req[:18] + b"\x08" + req[19:-16]), "bad-shape"),
        ("REQ1 with reserved flag 2", retagged(req1[:29] + b"\x04" + req1[30:-16]), "bad-shape"),
        ("OPEN of another key", opening(stranger, nd, bytes(8)), "unknown-key"),
        ("OPEN with another key id", flip(open_, 2), "unknown-key"),
        ("OPEN with another nonce", flip(open_, 10), "bad-tag"),
        ("OPEN with another old session", flip(open_, 33), "bad-tag"),
        ("OPEN with another tag", flip(open_, 49), "bad-tag"),
        ("OPEN with the tag of the other direction", open_[:-16] + T(key.Ks, open_[:-16]), "bad-tag"),
        ("REQ1 of another key", req1[:5] + stranger.kid + req1[13:], "unknown-key"),
        ("REQ1 with another nonce", flip(req1, 13), "bad-tag"),
        ("REQ1 with other flags", flip(req1, 29), "bad-tag"),
        ("REQ1 with another text", flip(req1, 30), "bad-tag"),
        ("REQ1 with another tag", flip(req1, len(req1) - 1), "bad-tag"),
        ("REQ1 with another route", flip(req1, 3), "expired"),
        ("REQ of another session", flip(req, 9), "unknown-session"),
        ("REQ with another number", flip(req, 13), "bad-tag"),
        ("REQ with another time", flip(req, 17), "bad-tag"),
        ("REQ with other flags", flip(req, 18), "bad-tag"),
        ("REQ with another text", flip(req, 19), "bad-tag"),
        ("REQ with another tag", flip(req, len(req) - 16), "bad-tag"),
        ("REQ with the tag of the other direction", req[:-16] + T(session.kra, req[:-16]), "bad-tag"),
        ("REQ with a tag of zeros", req[:-16] + bytes(16), "bad-tag"),
    ]
    return [shown({"name": name, "datagram": datagram, "reason": reason}) for name, datagram, reason in rows]


def ignored_vectors(session):
    """Datagrams for a device that waits for the reply to its request, all of which it ignores."""
    request = session.request(2, 0, 0x20, b"{'action': 'echo'}")[2]
    other = session.request(2, 0, 0x20, b"{'action': 'other'}")[2]

    def reply(ctr, to=request):
        return session.reply(to, ctr, 0, b'{"data":1}')[2]

    right = reply(2)
    rows = [
        ("nothing", b""),
        ("its own request", request),
        ("the reply to number 1", reply(1)),
        ("the reply to number 3", reply(3)),
        ("the reply to another request with the same number", reply(2, other)),
        ("the reply to number 1 with the number 2", b"\xb2\x05" + number(2, 4) + reply(1)[6:]),
        ("one byte short", right[:-1]),
        ("another text", right[:7] + bytes([right[7] ^ 1]) + right[8:]),
        ("a block less", right[:7] + right[23:]),
        ("an acknowledgement made of a reply", right[:6] + b"\1" + right[-16:]),
        ("another tag", right[:-1] + bytes([right[-1] ^ 1])),
        ("the AGAIN of another session", b"\xb2\x06" + filler("other", 8)),
        ("an AGAIN, one byte long", b"\xb2\x06" + session.sid + b"\0"),
    ]
    waiting = {"request": request, "reply": right}
    return {**shown(waiting), "datagrams": [shown({"name": name, "datagram": datagram}) for name, datagram in rows]}


def vectors():
    session = first_session()
    return {
        "about": "Protocol v2. Made by tools/v2-reference.py from docs/protocol-v2.md; all bytes as hex.",
        "S": S.hex(),
        "keys": [
            shown(
                {
                    "name": name,
                    "contents": key.contents,
                    **{field: getattr(key, field) for field in ("K", "kid", "Kc", "Ks")},
                }
            )
            for name, key in KEYS.items()
        ],
        "openings": [grant_vector(*row) for row in GRANTS],
        "session": "The session of the first opening. Requests, replies, refused, ignored and saved belong to it.",
        "requests": [request_vector(session, *row) for row in REQUESTS],
        "replies": [reply_vector(session, *row) for row in REPLIES],
        "again": (b"\xb2\x06" + session.sid).hex(),
        "refused": refused_vectors(session),
        "ignored": ignored_vectors(session),
        "saved": [
            shown({"ctr": ctr, "t": t, "wall": wall, "state": session.saved(ctr, t, wall)})
            for ctr, t, wall in ((1, 40, 0), (7, 123_456, 800_000_000))
        ],
    }


def check_primitives():
    """The examples of FIPS 197 C.3, SP 800-38A F.2.5 and RFC 4231, case 2."""
    block = encrypt_block(bytes(range(32)), bytes.fromhex("00112233445566778899aabbccddeeff"))
    assert block.hex() == "8ea2b7ca516745bfeafc49904b496089"
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    text = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
    sealed = encrypt_cbc(key, bytes(range(16)), text)
    assert sealed.hex() == "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
    tag = H(b"Jefe", b"what do ya want for nothing?")
    assert tag.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def main(arguments):
    check_primitives()
    text = json.dumps(vectors(), indent=2) + "\n"
    if arguments == ["--check"]:
        if FILE.read_text() != text:
            sys.exit(f"{FILE.name} is not the output of this program; run it without --check")
    elif arguments:
        sys.exit(f"unknown arguments: {' '.join(arguments)}; the only option is --check")
    else:
        FILE.write_text(text)


main(sys.argv[1:])
