"""Two TUN devices, each the way out of one network namespace: a packet of one leaves the other after a fixed time.

    python3 delay.py

Prints "ready" when both exist. Each line of its standard input is the time from then on, in milliseconds. All of it ends when the input
does. Nothing is lost here, and nothing is reordered if the time does not change.
"""

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
MAX_PACKET = 65536


def open_tun(name):
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return file


def read_all(file, due, queue):
    try:
        while True:
            queue.append((due, os.read(file, MAX_PACKET)))
    except BlockingIOError:
        return


def write_due(file, now, queue):
    while queue and queue[0][0] <= now:
        os.write(file, queue.popleft()[1])


def main():
    delay = 0
    ends = [open_tun("server"), open_tun("devices")]
    queues = [deque(), deque()]
    poll = select.epoll()
    for file in [*ends, sys.stdin.fileno()]:
        poll.register(file, select.EPOLLIN)
    print("ready", flush=True)
    while True:
        next_due = min((queue[0][0] for queue in queues if queue), default=None)
        wait = -1 if next_due is None else max(0, next_due - time.monotonic())
        events = poll.poll(wait)
        now = time.monotonic()
        for file, _ in events:
            if file not in ends:
                line = sys.stdin.readline()
                if not line:
                    return
                delay = float(line) / 1000
                continue
            read_all(file, now + delay, queues[1 - ends.index(file)])
        for file, queue in zip(ends, queues):
            write_due(file, now, queue)


main()
