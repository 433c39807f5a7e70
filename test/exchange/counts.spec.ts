/**
 * Random programs of both protocols, with tables and limits of a few places, while keys change: no request runs twice, and every count is
 * that of what it counts.
 */
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS, type Decision, type Exchanges, type PendingRequest } from '../../lib/exchange/index.js';
import type { BenUdpLimits } from '../../lib/exchange/limits/exchange-limits.js';
import { KeyRing, type NamedKey } from '../../lib/keys/index.js';
import { Random } from '../../lib/testing/random.js';
import { PureDevice, remoteOf } from '../support/pure-device.js';
import { PureV2Device } from '../support/v2-device.js';
import { createExchanges } from '../support/v2-server.js';

const ADDRESSES = ['10.0.0.1', '10.0.0.2', '::ffff:10.0.0.1', '2001:db8::1', '2001:db8::2', 'fe80::1%eth0'];
const PAUSES = [0, 1, 50, 300, 2000, 2000, 11_000, 31_000, 90_000_000];
const ONE = { perSecond: 1, burst: 1 };
const LEAST = Object.fromEntries(Object.keys(DEFAULT_LIMITS).map((name) => [name, ONE])) as unknown as BenUdpLimits;

const keyOf = (index: number) => Buffer.alloc(32, `key ${index};`);

/** What the exchanges hold. */
interface Books {
  readonly v1: {
    readonly parts: {
      readonly inFlight: {
        readonly size: number;
        readonly counted: Set<unknown>;
        readonly queues: Map<unknown, unknown>;
      };
      readonly holders: { readonly holders: Map<unknown, { readonly size: number; readonly running: number }> };
      readonly endpoints: { readonly size: number };
    };
  };
  readonly v2: {
    readonly sessions: {
      readonly sessions: Map<number, BookedSession>;
      readonly named: Groups;
      readonly shared: Map<unknown, { readonly all: Set<unknown>; readonly byAddress: Groups }>;
    };
    readonly sessionKeys: { readonly places: number; readonly free: number[] };
    readonly replies: { readonly bytes: number };
    readonly watches: { readonly callbacks: Map<unknown, unknown> };
  };
}
interface BookedSession {
  readonly place: number;
  readonly running: number;
  readonly reply?: { readonly bytes: number };
}
interface Groups {
  readonly groups: Map<unknown, unknown>;
}

const sum = (numbers: Iterable<number>) => [...numbers].reduce((total, each) => total + each, 0);
const sizeOf = ({ groups }: Groups) => sum([...groups.values()].map((each) => (each instanceof Set ? each.size : 1)));

class Program {
  private readonly random: Random;
  private readonly exchanges: Exchanges;
  private ring: KeyRing;
  private now: number;
  private requests = 0;
  private readonly seen: Array<{ readonly datagram: Buffer; readonly port: number; readonly address: string }> = [];
  readonly ranTwice = new Set<string>();
  private readonly runs = new Set<string>();
  private readonly pending: PendingRequest[] = [];
  private readonly old: PureDevice[];
  private readonly devices: PureV2Device[];

  constructor(
    seed: number,
    private readonly outcomes: Set<string>,
  ) {
    this.random = new Random(seed);
    const { random } = this;
    this.now = random.pick([0, 50_000]);
    const { exchanges, ring } = createExchanges({
      keys: this.pickKeys(),
      maxEndpoints: random.between(1, 6),
      limits: random.chance(0.3) ? LEAST : DEFAULT_LIMITS,
      inFlight: {
        maxInFlight: random.between(1, 6),
        maxInFlightPerDevice: random.between(1, 3),
        maxQueuedEvents: random.between(0, 2),
      },
      repair: random.chance(0.5),
      v2: { maxResultBytes: random.pick([1500, 100_000]), route: random.between(0, 1) },
    });
    exchanges.start(this.now);
    this.exchanges = exchanges;
    this.ring = ring;
    const server = exchanges as unknown as ConstructorParameters<typeof PureDevice>[0];
    this.old = Array.from({ length: 4 }, (_, index) => new PureDevice(server, this.pickRemote(), keyOf(index)));
    this.devices = Array.from(
      { length: 4 },
      (_, index) => new PureV2Device(exchanges, this.pickRemote(), keyOf(index)),
    );
  }

  get books(): Books {
    return this.exchanges as unknown as Books;
  }

  get running(): number {
    return this.pending.length;
  }

  step(): void {
    const { random, exchanges } = this;
    this.now += random.chance(0.97) ? random.pick(PAUSES.slice(0, 6)) : random.pick(PAUSES);
    const actions = [
      () => this.askOld(),
      () => this.askOld(),
      () => this.ask(),
      () => this.ask(),
      () => this.ask(),
      () => this.replay(false),
      () => this.replay(true),
      () => this.end(),
      () => this.end(),
      () => this.reload(),
      () => exchanges.step(this.now).forEach(({ decision }) => this.take(decision)),
      () =>
        [...exchanges.knownBoards()]
          .filter(({ key }) => this.ring.has(key))
          .forEach((each) => exchanges.remember(each)),
    ];
    random.pick(actions)();
  }

  stopIssuing(): void {
    this.exchanges.stopIssuing();
  }

  endAll(): void {
    while (this.pending.length > 0) {
      this.end();
    }
  }

  /** Several keys of one device, a device that is renamed, shared keys, and sometimes so many that a search takes steps. */
  private pickKeys(): NamedKey[] {
    const { random } = this;
    const few = Array.from({ length: 5 }, (_, index) => ({
      device: random.chance(0.2) ? undefined : `device ${random.chance(0.8) ? index : 0}`,
      key: keyOf(index),
      protocol: random.pick(['any', 'any', 'v2'] as const),
      shared: random.chance(0.3),
    })).filter(() => random.chance(0.8));
    const many = random.chance(0.3) ? Array.from({ length: 150 }, (_, index) => index + 100) : [99];
    return [...few, ...many.map((index) => ({ device: `other ${index}`, key: keyOf(index) }))];
  }

  private pickRemote() {
    return remoteOf(this.random.pick(ADDRESSES), this.random.between(1000, 1002));
  }

  private text(): string {
    return `{'action': 'request ${this.requests++};'${this.random.chance(0.5) ? ", 'noreturn': True" : ''}}`;
  }

  private send(datagram: Buffer, remote: PureDevice['remote']): Decision {
    this.seen.push({ datagram, ...remote });
    return this.take(this.exchanges.receive(datagram, remote, this.now));
  }

  private askOld(): void {
    const device = this.random.pick(this.old);
    try {
      this.take(device.hello(this.now));
    } catch {
      // It got half a pair.
    }
    this.send(device.envelope(this.text()), device.remote);
  }

  private ask(): void {
    const { random } = this;
    const device = random.pick(this.devices);
    if (device.client.phase === 'idle') {
      device.begin(this.now, this.text(), random.chance(0.5));
    } else if (random.chance(0.2)) {
      device.client.abandon();
      return;
    } else if (random.chance(0.25)) {
      device.client.elapse();
    }
    const decision = this.send(device.sent, random.chance(0.8) ? device.remote : this.pickRemote());
    for (const datagram of ('datagrams' in decision ? decision.datagrams : undefined) ?? []) {
      const next = device.receive(datagram, this.now);
      device.sent = next.kind === 'send' ? next.datagram : device.sent;
    }
  }

  private replay(isDamaged: boolean): void {
    const { random } = this;
    if (this.seen.length === 0) {
      return;
    }
    const { datagram, ...remote } = random.pick(this.seen);
    const copy = Buffer.from(datagram);
    if (isDamaged) {
      copy[random.below(copy.length)]! ^= 1;
    }
    const sender = random.chance(0.7) ? remoteOf(remote.address, remote.port) : this.pickRemote();
    this.take(this.exchanges.receive(copy, sender, this.now));
  }

  private reload(): void {
    if (this.random.chance(0.3)) {
      const next = new KeyRing(this.random.chance(0.7) ? this.pickKeys() : this.ring.keys, this.ring);
      this.exchanges.useKeys(next, this.now);
      this.ring.retire(next);
      this.ring = next;
    }
  }

  private end(): void {
    const [pending] = this.pending.splice(this.random.below(this.pending.length), 1);
    if (pending) {
      this.exchanges.reply(pending, `{"data":${'9'.repeat(this.random.below(900))}}`, this.now);
      this.exchanges.finish(pending, this.now);
    }
  }

  private take(decision: Decision): Decision {
    this.outcomes.add(decision.kind === 'rejected' ? decision.reason : decision.kind);
    if (decision.kind === 'request') {
      const { request, pending } = decision;
      (this.runs.has(request.text) ? this.ranTwice : this.runs).add(request.text);
      this.exchanges.watch(pending, () => undefined);
      this.pending.push(pending);
    } else if (decision.kind === 'rejected' && decision.pending) {
      this.exchanges.reply(decision.pending, '{"data":null}', this.now);
      this.exchanges.finish(decision.pending, this.now);
    }
    return decision;
  }
}

function check({ v1: { parts }, v2 }: Books): void {
  const { inFlight, holders, endpoints } = parts;
  expect([inFlight.size, inFlight.counted.size, inFlight.queues.size, v2.watches.callbacks.size]).toEqual([0, 0, 0, 0]);
  const held = [...holders.holders.values()];
  expect(held.filter(({ size, running }) => size === 0 || running > 0)).toEqual([]);
  expect(sum(held.map(({ size }) => size))).toBe(endpoints.size);
  const sessions = [...v2.sessions.sessions.values()];
  expect(sessions.filter(({ running }) => running > 0)).toEqual([]);
  const shared = [...v2.sessions.shared.values()];
  expect(shared.map(({ byAddress }) => sizeOf(byAddress))).toEqual(shared.map(({ all }) => all.size));
  expect(sizeOf(v2.sessions.named) + sum(shared.map(({ all }) => all.size))).toBe(sessions.length);
  expect(sum(sessions.map(({ reply }) => reply?.bytes ?? 0))).toBe(v2.replies.bytes);
  const places = [...sessions.map(({ place }) => place), ...v2.sessionKeys.free];
  expect([new Set(places).size, places.length]).toEqual([v2.sessionKeys.places, v2.sessionKeys.places]);
}

describe('The books of the exchange', () => {
  const PROGRAMS = Number(process.env['BEN_PROGRAMS'] ?? 60);

  it(`agree after each of ${PROGRAMS} programs`, { timeout: 600_000 }, () => {
    const outcomes = new Set<string>();
    for (let seed = 1; seed <= PROGRAMS; seed++) {
      const program = new Program(seed, outcomes);
      for (let count = 0; count < 250; count++) {
        program.step();
        if (count === 200) {
          program.stopIssuing();
        }
        expect(program.books.v1.parts.inFlight.size).toBe(program.running);
      }
      program.endAll();
      check(program.books);
      expect([...program.ranTwice]).toEqual([]);
    }
    // They reach most of what there is to count.
    const most = [
      'request',
      'busy',
      'table-full',
      'searching',
      'resent',
      'replayed',
      'reply-forgotten',
      'unknown-session',
      'expired',
    ];
    expect([...outcomes]).toEqual(expect.arrayContaining(most));
  });
});
