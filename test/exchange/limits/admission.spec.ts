/** Limits of the exchange for a stranger, a network, all strangers and a device, on both sides of each limit. */
import { describe, expect, it } from 'vitest';
import {
  DEFAULT_LIMITS,
  type BenUdpLimits,
  type BenUdpRemote,
  type ServerExchange,
} from '../../../lib/exchange/index.js';
import { KeyAttemptBudget, SHARE_OF_AN_ADDRESS } from '../../../lib/exchange/limits/key-attempt-budget.js';
import { KeyRing } from '../../../lib/keys/index.js';
import { HELLO, formatEnvelope } from '../../../lib/protocol/index.js';
import { KEY, OTHER_KEY, PureDevice, createServer, remoteOf } from '../../support/pure-device.js';

const NORETURN = "{'action': 'log', 'noreturn': True}";
const limitsOf = (limits: Partial<BenUdpLimits>) => ({ limits: { ...DEFAULT_LIMITS, ...limits } });
const JUNK = formatEnvelope({ hash: Buffer.alloc(32), data: Buffer.alloc(16), iv: Buffer.alloc(16) });

/** The number of datagrams by outcome. */
function tally(
  server: ServerExchange,
  datagrams: Iterable<[Buffer, BenUdpRemote]>,
  now: number,
): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [datagram, remote] of datagrams) {
    const receipt = server.receive(datagram, remote, now);
    const outcome = receipt.kind === 'rejected' ? receipt.reason : receipt.kind;
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts;
}

/** `count` datagrams, each from another port. */
function* fromPorts(datagram: Buffer, address: string, count: number, firstPort = 1): Iterable<[Buffer, BenUdpRemote]> {
  for (let port = firstPort; port < firstPort + count; port++) {
    yield [datagram, remoteOf(address, port)];
  }
}

describe('hellosPerSource', () => {
  it('answers the burst of 40 and then 20 a second', () => {
    const server = createServer();
    expect(tally(server, fromPorts(HELLO, '10.0.0.1', 100), 0)).toEqual({ pair: 40, 'hello-rate': 60 });
    expect(tally(server, fromPorts(HELLO, '10.0.0.1', 100, 1000), 1000)).toEqual({ pair: 20, 'hello-rate': 80 });
    expect(tally(server, fromPorts(HELLO, '10.0.0.2', 40), 1000)).toEqual({ pair: 40 });
  });

  it('counts an IPv6 /64 as one source', () => {
    const server = createServer();
    const hosts = Array.from({ length: 100 }, (_, host): [Buffer, BenUdpRemote] => [
      HELLO,
      remoteOf(`2001:db8::${host + 1}`),
    ]);
    expect(tally(server, hosts, 0)).toEqual({ pair: 40, 'hello-rate': 60 });
  });

  it('allows a /24 as much as 32 sources', () => {
    const server = createServer();
    const hosts = function* (): Iterable<[Buffer, BenUdpRemote]> {
      for (let host = 0; host < 256; host++) {
        yield* fromPorts(HELLO, `10.0.0.${host}`, 40);
      }
    };
    expect(tally(server, hosts(), 0)).toEqual({ pair: 1280, 'hello-rate': 256 * 40 - 1280 });
  });

  it('allows an IPv6 /48 as much as 32 sources', () => {
    const server = createServer();
    const hosts = function* (): Iterable<[Buffer, BenUdpRemote]> {
      for (let subnet = 0; subnet < 64; subnet++) {
        yield* fromPorts(HELLO, `2001:db8:0:${subnet.toString(16)}::1`, 40);
      }
    };
    expect(tally(server, hosts(), 0)).toEqual({ pair: 1280, 'hello-rate': 1280 });
    expect(tally(server, fromPorts(HELLO, '2001:db8:1::1', 40), 0)).toEqual({ pair: 40 });
  });

  it('does not count hellos with a request after them, so a fleet behind one NAT is accepted', () => {
    const server = createServer({ maxEndpoints: 1000 });
    for (let port = 1; port <= 500; port++) {
      expect(new PureDevice(server, remoteOf('10.0.0.1', port)).ask(0, NORETURN).kind).toBe('request');
    }
  });

  it('limits a known device by itself', () => {
    const server = createServer(limitsOf({ hellosPerSource: { perSecond: 1, burst: 2 } }));
    const device = new PureDevice(server);
    device.ask(0, NORETURN);
    const outcomes = [1000, 1300, 1600, 1900].map((now) => device.hello(now));
    expect(outcomes.map((receipt) => (receipt.kind === 'rejected' ? receipt.reason : receipt.kind))).toEqual([
      'pair',
      'pair',
      'hello-rate',
      'hello-rate',
    ]);
  });
});

describe('hellosOfStrangers', () => {
  it('bounds all strangers together, without known devices', () => {
    const server = createServer(limitsOf({ hellosOfStrangers: { perSecond: 100, burst: 100 } }));
    const device = new PureDevice(server, remoteOf('10.9.9.9'));
    device.ask(0, NORETURN);
    const flood = Array.from({ length: 5000 }, (_, index): [Buffer, BenUdpRemote] => [
      HELLO,
      remoteOf(`10.${index >> 8}.${index & 255}.1`),
    ]);
    expect(tally(server, flood, 1000)).toEqual({ pair: 100, 'hello-budget': 4900 });
    expect(device.ask(1000, NORETURN).kind).toBe('request');
  });
});

describe('the budgets of strangers, of verified addresses and of reserved networks', () => {
  const hostOf = (network: number, index: number) =>
    remoteOf(`${network}.${index & 255}.${(index >> 8) & 255}.${index >> 16}`, 1 + (index % 60_000));

  function* fromHosts(datagram: Buffer, network: number, count: number, first = 0): Iterable<[Buffer, BenUdpRemote]> {
    for (let index = first; index < first + count; index++) {
      yield [datagram, hostOf(network, index)];
    }
  }

  it('are 10000 hellos at once and 4000 a second each, and 4000 and 2000 requests', () => {
    const server = createServer({ isReserved: ({ remote }) => remote.address.startsWith('10.') });
    const [key] = new KeyRing([{ device: undefined, key: KEY }]).keys;
    for (let index = 0; index < 20_000; index++) {
      server.remember({ remote: { ...hostOf(88, index), port: 1 }, key: key!, heardAt: 0 });
    }
    for (const network of [77, 88, 10]) {
      expect(tally(server, fromHosts(HELLO, network, 11_000), 0)).toMatchObject({ pair: 10_000 });
      expect(tally(server, fromHosts(HELLO, network, 5000, 11_000), 1000)).toMatchObject({ pair: 4000 });
      const tried = (now: number) => {
        const { 'request-budget': refused = 0 } = tally(server, fromHosts(JUNK, network, 4500, 15_400), now);
        return 4500 - refused;
      };
      expect([tried(1000), tried(2000)]).toEqual([4000, 2000]);
    }
  });
});

describe('failuresPerSource', () => {
  it('checks the burst of 200 and then 100 a second', () => {
    const server = createServer();
    expect(tally(server, fromPorts(JUNK, '10.0.0.1', 300), 0)).toEqual({ 'bad-hash': 200, 'request-rate': 100 });
    expect(tally(server, fromPorts(JUNK, '10.0.0.1', 300), 1000)).toEqual({ 'bad-hash': 100, 'request-rate': 200 });
  });

  it('does not count requests that verify', () => {
    const server = createServer({ maxEndpoints: 1000 });
    for (let port = 1; port <= 500; port++) {
      expect(new PureDevice(server, remoteOf('10.0.0.1', port)).ask(0, NORETURN).kind).toBe('request');
    }
  });

  it('checks 4 more after each answered hello, of its port alone', () => {
    const server = createServer();
    tally(server, fromPorts(JUNK, '10.0.0.1', 300), 0);
    const junkOf = (port: number) => Array.from({ length: 5 }, () => [...fromPorts(JUNK, '10.0.0.1', 1, port)][0]!);
    server.receive(HELLO, remoteOf('10.0.0.1', 999), 0);
    expect(tally(server, junkOf(998), 0)).toEqual({ 'request-rate': 5 });
    expect(tally(server, junkOf(999), 0)).toEqual({ 'bad-hash': 4, 'request-rate': 1 });
    server.receive(HELLO, remoteOf('10.0.0.1', 999), 300);
    expect(tally(server, junkOf(999), 300)).toHaveProperty('bad-hash');
  });
});

describe('failuresPerDevice', () => {
  it('checks 1000 failures from the address of a known device, and still accepts the device', () => {
    const server = createServer();
    const device = new PureDevice(server);
    device.ask(0, NORETURN);
    const junk = (count: number) => Array.from({ length: count }, (): [Buffer, BenUdpRemote] => [JUNK, device.remote]);
    expect(tally(server, junk(999), 1000)).toEqual({ 'bad-hash': 999 });
    expect(device.ask(1000, NORETURN).kind).toBe('request');
    expect(tally(server, junk(3), 1000)).toEqual({ 'bad-hash': 1, 'request-rate': 2 });
    // Its own key is still tried, but no other.
    expect(device.ask(1000, NORETURN).kind).toBe('request');
    expect(tally(server, junk(600), 2000)).toEqual({ 'bad-hash': 500, 'request-rate': 100 });
  });
});

describe('requestsOfStrangers', () => {
  it('checks the burst of 4000, and any number from senders that sent a hello', () => {
    const server = createServer();
    const junk = Array.from({ length: 5000 }, (_, index): [Buffer, BenUdpRemote] => [
      JUNK,
      remoteOf(`10.${index >> 8}.${index & 255}.1`),
    ]);
    expect(tally(server, junk, 0)).toEqual({ 'bad-hash': 4000, 'request-budget': 1000 });
    expect(new PureDevice(server).ask(0, NORETURN).kind).toBe('request');
  });
});

describe('keyAttempts', () => {
  const keys = [
    { device: 'a', key: KEY },
    { device: 'b', key: OTHER_KEY },
  ];
  const junkOf = (bytes: number) =>
    formatEnvelope({ hash: Buffer.alloc(32), data: Buffer.alloc(bytes, 'a'), iv: Buffer.alloc(16) });

  it('are 100000 at once and 50000 a second', () => {
    const budget = new KeyAttemptBudget(DEFAULT_LIMITS.keyAttempts);
    const taken = (firstSource: number, now: number) => {
      let searches = 0;
      for (let low = firstSource; low < firstSource + 200; low++) {
        const source = { high: 1, low, networkHigh: 1, networkLow: 0 };
        searches += Number(budget.open(source, 16, now).take(1000, false));
      }
      return searches;
    };
    expect([taken(0, 0), taken(1000, 1000)]).toEqual([100, 50]);
  });

  it.each([
    ['a fifth of the budget', undefined, 200],
    ['half of the budget of the keys of its address', SHARE_OF_AN_ADDRESS, 500],
  ])('leave the reserve to a source until it has used %s', (_title, share, most) => {
    const budget = new KeyAttemptBudget({ perSecond: 0.001, burst: 1000 }, undefined, share);
    const take = (low: number, count: number, isDoubtful = false) =>
      budget.open({ high: 1, low, networkHigh: 1, networkLow: 0 }, 16, 0).take(count, isDoubtful);
    expect(take(1, most - 1)).toBe(true);
    expect(take(2, 500 - most + 1, true)).toBe(true);
    expect(take(2, 1, true)).toBe(false);
    expect([take(1, 1), take(1, 1)]).toEqual([true, false]);
    expect(take(3, 1)).toBe(true);
  });

  it('tries no more keys for strangers, and tries the known key of a known device for free', () => {
    const server = createServer({ keys, ...limitsOf({ keyAttempts: { perSecond: 1, burst: 2 } }) });
    const known = new PureDevice(server, remoteOf('10.0.0.1'), OTHER_KEY);
    expect(known.ask(0, NORETURN).kind).toBe('request');
    const failing = remoteOf('10.0.0.2');
    server.receive(HELLO, failing, 0);
    // Both keys are tried for the pair as sent. No budget is left for other pairs that the device may have read.
    expect(server.receive(JUNK, failing, 0)).toMatchObject({ reason: 'key-attempt-budget' });
    const stranger = new PureDevice(server, remoteOf('10.0.0.3'));
    expect(stranger.ask(0, NORETURN)).toMatchObject({ reason: 'key-attempt-budget' });
    expect(known.ask(500, NORETURN).kind).toBe('request');
    expect(stranger.request(999, NORETURN)).toMatchObject({ reason: 'key-attempt-budget' });
    expect(stranger.request(1000, NORETURN).kind).toBe('request');
  });

  it('refunds the cost of a request that verifies', () => {
    const server = createServer({ keys, ...limitsOf({ keyAttempts: { perSecond: 0.001, burst: 1 } }) });
    for (let host = 1; host <= 20; host++) {
      expect(new PureDevice(server, remoteOf(`10.0.0.${host}`), OTHER_KEY).ask(0, NORETURN).kind).toBe('request');
    }
  });

  it.each([
    { bytes: 2048, looks: 4 },
    { bytes: 2064, looks: 2 },
  ])('counts a request with $bytes bytes of data once for each started 2 KiB', ({ bytes, looks }) => {
    // One key, tried for both slots in which an id is accepted, out of the half that strangers without a hello have.
    const server = createServer({ ...limitsOf({ keyAttempts: { perSecond: 0.001, burst: 16 } }) });
    expect(tally(server, fromPorts(junkOf(bytes), '10.0.0.1', looks + 2), 0)).toEqual({
      'bad-hash': looks,
      'key-attempt-budget': 2,
    });
  });

  it('reserves half for new devices that sent a hello', () => {
    const server = createServer({ keys, ...limitsOf({ keyAttempts: { perSecond: 0.001, burst: 8 } }) });
    const known = new PureDevice(server, remoteOf('10.0.0.1'));
    known.ask(0, NORETURN);
    known.hello(1000);
    // From the address of a known device, and from an unknown address.
    const junk = [known.remote, remoteOf('10.0.0.2'), remoteOf('10.0.0.3')].map((remote): [Buffer, BenUdpRemote] => [
      JUNK,
      remote,
    ]);
    expect(tally(server, [...junk, ...junk, ...junk], 1000)).toMatchObject({ 'key-attempt-budget': 9 });
    const failing = remoteOf('10.0.0.4');
    server.receive(HELLO, failing, 1000);
    expect(server.receive(JUNK, failing, 1000)).toMatchObject({ reason: 'key-attempt-budget' });
    expect(new PureDevice(server, remoteOf('10.0.0.5'), OTHER_KEY).ask(1000, NORETURN).kind).toBe('request');
  });

  it('treats a source as doubtful after a fifth of the budget, and refuses it nothing else', () => {
    const many = Array.from({ length: 50 }, (_, index) => ({
      device: `device ${index}`,
      key: Buffer.alloc(32, `key ${index}`),
    }));
    const server = createServer({ keys: many, ...limitsOf({ keyAttempts: { perSecond: 25, burst: 1000 } }) });
    tally(server, fromPorts(HELLO, '10.0.0.1', 39), 0);
    expect(tally(server, fromPorts(JUNK, '10.0.0.1', 39), 0)).toHaveProperty('key-attempt-budget');
    // A good device behind the same address waits for the budget to recover; one elsewhere does not.
    const neighbour = new PureDevice(server, remoteOf('10.0.0.1', 99), many.at(-1)!.key);
    expect(neighbour.ask(0, NORETURN)).toMatchObject({ reason: 'key-attempt-budget' });
    expect(new PureDevice(server, remoteOf('10.0.0.2'), many.at(-1)!.key).ask(0, NORETURN).kind).toBe('request');
    expect(neighbour.ask(10_000, NORETURN).kind).toBe('request');
  });

  it('does not make a source doubtful by requests without a hello, because anybody can send them in its name', () => {
    const server = createServer({ keys, ...limitsOf({ keyAttempts: { perSecond: 0.001, burst: 20 } }) });
    expect(tally(server, fromPorts(JUNK, '10.0.0.1', 10), 0)).toHaveProperty('key-attempt-budget');
    expect(new PureDevice(server, remoteOf('10.0.0.1', 99), OTHER_KEY).ask(0, NORETURN).kind).toBe('request');
  });

  it('refunds nothing to a request without a free place, because it can be repeated', () => {
    const server = createServer({ maxEndpoints: 1, ...limitsOf({ keyAttempts: { perSecond: 0.001, burst: 4 } }) });
    new PureDevice(server, remoteOf('10.0.0.1')).ask(0, NORETURN);
    const refused = new PureDevice(server, remoteOf('10.0.0.2'));
    refused.hello(0);
    const recorded = refused.envelope(NORETURN);
    const outcomes = Array.from({ length: 6 }, (): [Buffer, BenUdpRemote] => [recorded, refused.remote]);
    expect(tally(server, outcomes, 0)).toEqual({ 'table-full': 2, 'key-attempt-budget': 4 });
  });

  it('tries the known key once, so a server with one key needs no other attempt', () => {
    const server = createServer({ repair: false, ...limitsOf({ keyAttempts: { perSecond: 0.001, burst: 1 } }) });
    const device = new PureDevice(server);
    expect(device.ask(0, NORETURN).kind).toBe('request');
    expect(server.receive(JUNK, remoteOf('10.0.0.2'), 0)).toMatchObject({ reason: 'key-attempt-budget' });
    device.hello(1000);
    expect(server.receive(JUNK, device.remote, 1000)).toMatchObject({ reason: 'bad-hash' });
    expect(device.request(1000, NORETURN).kind).toBe('request');
  });
});
