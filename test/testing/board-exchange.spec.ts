import { describe, expect, it } from 'vitest';
import { openId, sealRequest } from '../../lib/exchange/index.js';
import { HELLO, Sealer } from '../../lib/protocol/index.js';
import { type BoardExchangeRequest, boardExchange } from '../../lib/testing/board-exchange.js';
import { KEY, PureDevice, createServer } from '../support/pure-device.js';

const BLOCK = Buffer.alloc(16, 0xa5);

/** Runs an exchange on the datagrams that it reads, and lists its steps. */
function play(inputs: readonly Buffer[], request: Partial<BoardExchangeRequest> = {}) {
  const unread = [...inputs];
  const steps = boardExchange(new Sealer(KEY), { text: "{'action': 'echo'}", noreturn: false, ...request });
  const kinds: string[] = [];
  const sent: Buffer[] = [];
  let step = steps.next();
  while (!step.done) {
    kinds.push(step.value.kind);
    if (step.value.kind === 'send') {
      sent.push(step.value.datagram);
    }
    const input = step.value.kind === 'read' ? unread.shift() : undefined;
    if (step.value.kind === 'read' && !input) {
      return { kinds, sent, ending: undefined };
    }
    step = input ? steps.next(input) : steps.next();
  }
  return { kinds, sent, ending: step.value };
}

describe('boardExchange', () => {
  it('sends the hello, reads two datagrams, computes, sends the request, and reads three', () => {
    const { kinds, sent } = play([BLOCK, BLOCK]);
    expect(kinds).toEqual(['send', 'read', 'read', 'compute', 'send', 'read']);
    expect(sent[0]).toEqual(HELLO);
    expect(play([BLOCK, BLOCK, BLOCK, BLOCK]).kinds.slice(5)).toEqual(['read', 'read', 'read']);
  });

  it('ends after its request if it wants no reply', () => {
    expect(play([BLOCK, BLOCK], { noreturn: true })).toMatchObject({
      ending: { kind: 'noreturn' },
      kinds: { length: 5 },
    });
  });

  it('gets the reply of a server', () => {
    const server = createServer();
    const device = new PureDevice(server);
    const exchange = boardExchange(device.sealer, { text: "{'action': 'echo'}", noreturn: false });
    exchange.next();
    const pair = server.receive(HELLO, device.remote, 0);
    if (pair.kind !== 'pair') {
      throw new Error(pair.kind);
    }
    exchange.next();
    exchange.next(pair.datagrams[0]!);
    exchange.next(pair.datagrams[1]!);
    const asked = exchange.next();
    if (asked.done || asked.value.kind !== 'send') {
      throw new Error('no request');
    }
    const accepted = server.receive(asked.value.datagram, device.remote, 1);
    if (accepted.kind !== 'request') {
      throw new Error(accepted.kind);
    }
    const [hash, iv, ciphertext] = server.reply(accepted.pending, '{"data":1}', 2) as Buffer[];
    exchange.next();
    exchange.next(hash!);
    exchange.next(iv!);
    expect(exchange.next(ciphertext!)).toEqual({ done: true, value: { kind: 'reply', text: '{"data":1}' } });
  });

  it('seals under the id of the two datagrams it read first, whoever sent them', () => {
    const ids: Buffer[] = [];
    play([BLOCK, BLOCK], { onSealed: (id) => ids.push(id) });
    expect(ids).toEqual([openId(new Sealer(KEY), { ciphertext: BLOCK, iv: BLOCK })]);
  });

  it('writes the envelope in the order of keys that it is given', () => {
    const keyOrder = ['iv', 'hash', 'data'] as const;
    const [, envelope] = play([BLOCK, BLOCK], { keyOrder }).sent;
    expect(envelope!.toString('latin1')).toMatch(/^\{'iv': .*'hash': .*'data': /s);
    expect(sealRequest(new Sealer(KEY), BLOCK, 'x', keyOrder).toString('latin1')).toMatch(/^\{'iv'/);
  });

  it.each([
    ['an empty first datagram', [Buffer.alloc(0), BLOCK]],
    ['a first datagram of no whole blocks', [Buffer.alloc(17), BLOCK]],
    ['a second datagram of another length than an IV', [BLOCK, Buffer.alloc(32)]],
  ])('raises on %s', (_what, inputs) => {
    expect(play(inputs).ending).toMatchObject({ kind: 'error' });
  });

  it('returns for an empty third datagram of a reply before it checks anything', () => {
    expect(play([BLOCK, BLOCK, BLOCK, BLOCK, Buffer.alloc(0)]).ending).toEqual({ kind: 'empty' });
  });

  it.each([
    ['has another hash', [BLOCK, BLOCK]],
    ['has an IV of another length', [Buffer.alloc(15), BLOCK]],
    ['has a ciphertext of no whole blocks', [BLOCK, Buffer.alloc(17)]],
  ])('raises if a reply %s', (_what, [iv, ciphertext]) => {
    expect(play([BLOCK, BLOCK, Buffer.alloc(32), iv!, ciphertext!]).ending).toEqual({
      kind: 'error',
      message: 'the reply does not verify',
    });
  });

  it.each([
    ['a reply', [BLOCK, BLOCK, BLOCK, BLOCK, BLOCK]],
    ['an empty reply', [BLOCK, BLOCK, BLOCK, BLOCK, Buffer.alloc(0)]],
  ])('overwrites its id after %s', (_name, inputs) => {
    const ids: Buffer[] = [];
    expect(play(inputs, { onSealed: (id) => ids.push(id) }).ending).toBeDefined();
    expect(ids).toEqual([Buffer.alloc(16)]);
  });

  it('overwrites its id if it is given up', () => {
    const ids: Buffer[] = [];
    const request = { text: "{'action': 'echo'}", noreturn: false, onSealed: (id: Buffer) => ids.push(id) };
    const steps = boardExchange(new Sealer(KEY), request);
    [BLOCK, BLOCK, BLOCK, BLOCK, BLOCK].forEach((datagram) => steps.next(datagram));
    expect(steps.return({ kind: 'error', message: 'given up' }).done).toBe(true);
    expect(ids).toEqual([Buffer.alloc(16)]);
  });
});
