/**
 * The bridge below the VM: that its socket queues, cuts and times out as a board's does, and that its AES is AES. A plain UDP
 * socket stands for the server.
 */
import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Envelope, parseEnvelope } from '../../lib/protocol/index.js';
import { MicroPythonBoard, type MicroPythonBoardOptions } from '../../tools/micropython/board.mjs';

const key = Buffer.alloc(32, 'k');

async function openPeer(): Promise<Socket> {
  const peer = createSocket('udp4').bind(0, '127.0.0.1');
  onTestFinished(() => void peer.close());
  await once(peer, 'listening');
  return peer;
}

async function startBoard(peer: Socket, options: Partial<MicroPythonBoardOptions> = {}): Promise<MicroPythonBoard> {
  const board = await MicroPythonBoard.start({ key, port: peer.address().port, ...options });
  onTestFinished(() => board.close());
  return board;
}

/** Stands for any bytes of that length. */
function bytes(length: number): unknown {
  return expect.toSatisfy((value) => Buffer.isBuffer(value) && value.length === length);
}

function sendTo(board: MicroPythonBoard, peer: Socket, ...texts: string[]): void {
  for (const text of texts) {
    peer.send(text, board.address.port, board.address.address);
  }
}

/** Lets a peer answer each hello with the same pair, and nothing else. Returns the datagrams that it receives. */
function giveOutIds(peer: Socket): Buffer[] {
  const received: Buffer[] = [];
  peer.on('message', (datagram, { address, port }) => {
    received.push(datagram);
    if (datagram.toString('latin1') === '/GETID') {
      peer.send(Buffer.alloc(16), port, address);
      peer.send(Buffer.alloc(16), port, address);
    }
  });
  return received;
}

describe('MicroPythonBoard', () => {
  it('runs Python in one __main__ and returns its output', async () => {
    const board = await startBoard(await openPeer());
    await board.run('x = 20\ndef f():\n    return x + 1');
    expect(await board.run('print(f(), "\u00e9\u{1f600}")\nprint()')).toEqual({ stdout: '21 \u00e9\u{1f600}\n\n' });
    expect(board.version).toMatch(/^1\.\d+\.\d+$/);
  });

  it('rejects with the traceback and the type of a Python exception, and goes on', async () => {
    const board = await startBoard(await openPeer());
    const failing = board.run('def f():\n    raise ValueError("no", 1)\nf()');
    await expect(failing).rejects.toThrow(/^Traceback[^]*in f\nValueError: \('no', 1\)$/);
    await expect(failing).rejects.toMatchObject({ name: 'PythonError', type: 'ValueError' });
    await expect(board.run('f(')).rejects.toMatchObject({ type: 'SyntaxError' });
    expect(await board.run('print(1)')).toEqual({ stdout: '1\n' });
  });

  it('is told by start what stops the device program from starting', async () => {
    const peer = await openPeer();
    const starting = MicroPythonBoard.start({ key, port: 1, localPort: peer.address().port });
    await expect(starting).rejects.toThrow('OSError: [Errno 98] EADDRINUSE');
  });

  it('closes in the midst of a call that would wait for ever, and refuses later calls', async () => {
    const peer = await openPeer();
    const board = await startBoard(peer);
    const waiting = board.run(`
client.socket.settimeout(None)
client.socket.sendto("x", client.server)
client.receive()`);
    const closed = once(peer, 'message').then(() => board.close());
    await expect(waiting).rejects.toThrow('the board is closed');
    await closed;
    await expect(board.run('1')).rejects.toThrow('the board is closed');
    await board.close();
  });

  it('boots again on the same port when its program makes a new client', async () => {
    const peer = await openPeer();
    const board = await startBoard(peer);
    const { port } = board.address;
    const second = await startBoard(peer, { localAddress: '127.0.0.2', localPort: port });
    expect(second.address).toMatchObject({ address: '127.0.0.2', port });
    sendTo(second, peer, 'stray');
    await expect.poll(() => second.leftovers).toBe(1);
    await second.run(`client.socket.close(); client = benclient.client("127.0.0.1", ${peer.address().port})`);
    expect(second.leftovers).toBe(0);
    expect(second.address).toMatchObject({ address: '127.0.0.2', port });
  });
});

describe('the socket of the VM', () => {
  it('sends bytes, and str as UTF-8, from the address that recvfrom of the peer sees', async () => {
    const peer = await openPeer();
    const board = await startBoard(peer);
    const received: Array<[string, number]> = [];
    peer.on('message', (datagram, { port }) => received.push([datagram.toString('hex'), port]));
    await board.run(`
print = client.socket.sendto
print(bytes(range(256)), client.server)
print("h\\xe9", client.server)
print(b"", client.server)`);
    await expect.poll(() => received).toHaveLength(3);
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('hex');
    expect(received).toEqual([all, '68c3a9', ''].map((hex) => [hex, board.address.port]));
  });

  it('keeps unread datagrams in order, with their sender, and cuts longer ones off', async () => {
    const peer = await openPeer();
    const board = await startBoard(peer);
    sendTo(board, peer, 'first', '', 'third is longer', 'fourth');
    await expect.poll(() => board.leftovers).toBe(4);
    const { stdout } = await board.run('for i in range(3): print(client.socket.recvfrom(8))');
    const sender = `('127.0.0.1', ${peer.address().port})`;
    expect(stdout).toBe(`(b'first', ${sender})\n(b'', ${sender})\n(b'third is', ${sender})\n`);
    expect(board.leftovers).toBe(1);
  });

  it('receives bytes of every value', async () => {
    const peer = await openPeer();
    const board = await startBoard(peer);
    peer.send(Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)), board.address.port);
    expect(await board.run('print(client.receive() == bytes(range(256)))')).toEqual({ stdout: 'True\n' });
  });

  it('raises ETIMEDOUT after its timeout, and EAGAIN at once with a timeout of 0', async () => {
    const board = await startBoard(await openPeer(), { timeoutMs: 50 });
    await expect(board.run('client.receive()')).rejects.toThrow('OSError: [Errno 110] ETIMEDOUT');
    await expect(board.run('client.socket.settimeout(0); client.receive()')).rejects.toThrow(
      'OSError: [Errno 11] EAGAIN',
    );
  });

  it('drops what arrives while receiveSlots: 1 holds a datagram, and takes the next once that is read', async () => {
    const peer = await openPeer();
    const board = await startBoard(peer, { receiveSlots: 1 });
    sendTo(board, peer, 'kept', 'dropped', 'dropped too');
    await expect.poll(() => board.dropped).toBe(2);
    expect(board.leftovers).toBe(1);
    expect(await board.run('print(client.receive())')).toEqual({ stdout: "b'kept'\n" });
    sendTo(board, peer, 'taken');
    expect(await board.run('print(client.receive())')).toEqual({ stdout: "b'taken'\n" });
  });

  it('refuses a datagram of more than 65507 bytes with EMSGSIZE', async () => {
    const peer = await openPeer();
    const board = await startBoard(peer);
    const arrived = once(peer, 'message');
    await board.run('client.socket.sendto(bytes(65507), client.server)');
    expect((await arrived)[0]).toHaveLength(65_507);
    await expect(board.run('client.socket.sendto(bytes(65508), client.server)')).rejects.toThrow('OSError: 90');
  });
});

describe('cryptolib and os of the VM', () => {
  it('encrypts and decrypts as in SP 800-38A F.2.5, in one call or several', async () => {
    const board = await startBoard(await openPeer());
    const { stdout } = await board.run(`
from ucryptolib import aes
key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
iv = bytes(range(16))
plain = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
sealed = bytes.fromhex("f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d")
print(aes(key, 2, iv).encrypt(plain) == sealed)
print(aes(key, 2, iv).decrypt(sealed) == plain)
cipher = aes(key, 2, iv)
print(cipher.encrypt(plain[:16]) + cipher.encrypt(b"") + cipher.encrypt(plain[16:]) == sealed)
cipher = aes(key, 2, iv)
print(cipher.decrypt(sealed[:16]) + cipher.decrypt(sealed[16:]) == plain)`);
    expect(stdout).toBe('True\n'.repeat(4));
  });

  it.each([
    ['a partial block', 'aes(bytes(32), 2, bytes(16)).encrypt(b"x")'],
    ['a key of 24 bytes, which boards lack', 'aes(bytes(24), 2, bytes(16))'],
    ['an IV of 15 bytes', 'aes(bytes(32), 2, bytes(15))'],
    ['both directions with one object', 'a = aes(bytes(32), 2, bytes(16)); a.encrypt(b""); a.decrypt(b"")'],
  ])('refuses %s with a ValueError, as boards do', async (_name, source) => {
    const board = await startBoard(await openPeer());
    await expect(board.run(`from cryptolib import aes\n${source}`)).rejects.toMatchObject({ type: 'ValueError' });
  });

  it('draws random bytes of the length asked for', async () => {
    const board = await startBoard(await openPeer());
    const { stdout } = await board.run('import os, uos\nprint(len(os.urandom(16)), uos.urandom(16) != os.urandom(16))');
    expect(stdout).toBe('16 True\n');
  });
});

describe('the device program', () => {
  it.each([
    ['hash', 'data', 'iv'],
    ['iv', 'hash', 'data'],
    ['data', 'iv', 'hash'],
  ] as const)('sends "/GETID" and then an envelope with its keys in the order %s, %s, %s', async (...keyOrder) => {
    const peer = await openPeer();
    const board = await startBoard(peer, { keyOrder });
    const received = giveOutIds(peer);
    await board.send('{"action": "x"}', { noreturn: true });
    await expect.poll(() => received).toHaveLength(2);
    const [hello = Buffer.alloc(0), envelope = Buffer.alloc(0)] = received;
    expect(hello.toString('latin1')).toBe('/GETID');
    expect(parseEnvelope(envelope)).toEqual({ hash: bytes(32), data: bytes(48), iv: bytes(16) });
    const [first, second, third] = keyOrder;
    expect(envelope.toString('latin1')).toMatch(
      new RegExp(`^\\{'${first}': b.*, '${second}': b.*, '${third}': b.*\\}$`),
    );
  });

  it('seals the same request under a fresh IV every time', async () => {
    const peer = await openPeer();
    const board = await startBoard(peer);
    const received = giveOutIds(peer);
    await board.send('{"action": "x"}', { noreturn: true });
    await board.send('{"action": "x"}', { noreturn: true });
    await expect.poll(() => received).toHaveLength(4);
    const [first, second] = [received[1], received[3]].map((datagram) => parseEnvelope(datagram ?? Buffer.alloc(0)));
    expect(first).toEqual({ hash: bytes(32), data: bytes(48), iv: bytes(16) });
    expect(second).not.toMatchObject({ iv: (first as Envelope).iv });
    expect(second).not.toMatchObject({ data: (first as Envelope).data });
  });

  it('raises OSError if its key file is missing', async () => {
    const board = await startBoard(await openPeer());
    const starting = board.run('benclient.client("127.0.0.1", 1, keyfile="other.sec")');
    await expect(starting).rejects.toMatchObject({ type: 'OSError' });
  });
});
