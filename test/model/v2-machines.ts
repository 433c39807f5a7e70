/**
 * The real state machines of protocol v2, client and server, as a model: an event is a call of the library, and a state is the list of
 * events that leads to it. The machines can't be copied, so each visit plays its events again. Everything random follows from a counter.
 *
 * The network is the attacker, as in the model of symbols: it keeps datagrams, delivers any of them to their side at any time, and
 * forges AGAIN. It keeps no OPEN and GRANT of an opening that is over: the server keeps nothing for an OPEN, and the device reads no
 * GRANT of another nonce.
 */
import { createHash } from 'node:crypto';
import { V2ClientExchange, type V2ClientDecision } from '../../lib/exchange/v2/client-exchange.js';
import { KnownBoards } from '../../lib/exchange/known-boards.js';
import type { Admissions } from '../../lib/exchange/limits/admissions.js';
import { Holders } from '../../lib/exchange/limits/holder.js';
import { InFlight } from '../../lib/exchange/limits/in-flight.js';
import type { V2Pending } from '../../lib/exchange/v2/pending.js';
import { V2ServerExchange } from '../../lib/exchange/v2/server-exchange.js';
import { QUIET_MS, type SessionTable } from '../../lib/exchange/v2/session-table.js';
import type { Session } from '../../lib/exchange/v2/session.js';
import { KeyRing } from '../../lib/keys/index.js';
import type { RandomFill } from '../../lib/random.js';
import { FLAGS_AT, NONCE_BYTES, REPLY_KIND, V2_TYPE, formatAgain } from '../../lib/protocol/v2/index.js';
import { KEY, remoteOf } from '../support/pure-device.js';
import { IN_FLIGHT, datagramOf } from '../support/v2-server.js';
import type { Model, Step } from './explore.js';

export interface MachineBounds {
  readonly calls: number;
  readonly openings: number;
  readonly restarts: number;
  readonly ticks: number;
}

/** Each is a fault if it is set. */
export interface MachineFaults {
  /** The secret of the cookies survives a restart. */
  readonly secretSurvives?: boolean;
  /** A process claims to have been there long before its start. */
  readonly claimsToBeOld?: boolean;
  /** The server accepts the last number again. */
  readonly repeatsRun?: boolean;
  /** A cancelled call keeps its session although its first request was not answered. */
  readonly keepsUnanswered?: boolean;
}

/** Beyond it a cookie, and a request, is too old after two; and a session is quiet after two. */
const TICK_MS = 16_000;

/** Admits everything: rates are no part of the state, and their tables take longer to make than all the rest. */
const ADMIT_ALL = {
  ofStranger: () => ({
    admitHello: () => undefined,
    refundHello: () => undefined,
    admitRequest: () => undefined,
    countFailure: () => undefined,
  }),
  verifiedSources: { record: () => undefined },
  credits: { grant: () => undefined },
} as unknown as Admissions;

const NO_BOARDS = new KnownBoards(0);

const KEYS = new KeyRing([{ device: 'board', key: KEY }]);

const REMOTE = remoteOf('10.0.0.1');

type Outcome = 'open' | 'ok' | 'mistaken' | 'unknown' | 'no-answer' | 'refused' | 'bad-reply';

/** The next nonce, a hash of a counter. Other bytes choose waits, which are no part of the state. */
function countedNonces(): RandomFill {
  let count = 0;
  return (target) => {
    if (target.byteLength === NONCE_BYTES) {
      target.set(createHash('sha256').update(`nonce ${count++}`).digest().subarray(0, NONCE_BYTES));
    }
  };
}

/** One board, one server, and the network between them. */
export class Machines {
  readonly outcomes: Outcome[] = [];
  readonly executions: number[] = [];
  private readonly client = new V2ClientExchange({ key: KEY, bufferSize: 1536, random: countedNonces() });
  private server: V2ServerExchange;
  private readonly up = new Map<string, Buffer>();
  private readonly down = new Map<string, Buffer>();
  private now = 60_000;
  private ticks = 0;
  private restarts = 0;
  private openings = 0;

  constructor(
    private readonly bounds: MachineBounds,
    private readonly faults: MachineFaults,
  ) {
    this.server = this.createServer(0);
  }

  /** The events that can happen now. */
  *events(): Iterable<string> {
    const { calls, openings, restarts, ticks } = this.bounds;
    const { phase, hasSession } = this.client;
    const mayOpen = this.openings < openings;
    if (phase === 'idle' && this.outcomes.length < calls && (hasSession || mayOpen)) {
      yield 'call';
    }
    if (phase !== 'idle') {
      yield 'give up';
      yield 'cancel';
    }
    if (this.restarts < restarts) {
      yield 'restart';
    }
    if (this.ticks < ticks) {
      yield 'tick';
    }
    for (const name of this.up.keys()) {
      yield `up ${name}`;
    }
    if (phase === 'idle') {
      return;
    }
    for (const [name, datagram] of this.down) {
      // The device opens once more after a refusal.
      if (mayOpen || datagram[1] !== V2_TYPE.reply || datagram[FLAGS_AT.reply] !== REPLY_KIND.refusal) {
        yield `down ${name}`;
      }
    }
    if (phase === 'waiting' && mayOpen) {
      yield 'AGAIN';
    }
  }

  play(event: string): void {
    this.act(event);
    const { phase } = this.client;
    if (phase !== 'opening' && phase !== 'asking') {
      this.forgetOpening();
    }
  }

  private act(event: string): void {
    const [kind, name] = event.split(' ') as [string, string | undefined];
    switch (kind) {
      case 'call':
        this.outcomes.push('open');
        this.executions.push(0);
        this.take(
          this.client.begin(`{'action': 'echo', 'data': ${this.outcomes.length - 1}}`, false, this.now, 15_000),
        );
        return;
      case 'give': {
        let decision = this.client.elapse();
        while (decision.kind === 'send') {
          decision = this.client.elapse();
        }
        this.take(decision);
        return;
      }
      case 'cancel':
        this.outcomes[this.outcomes.length - 1] = 'unknown';
        if (this.faults.keepsUnanswered) {
          Object.assign(this.client, { currentPhase: 'idle' });
        } else {
          this.client.abandon();
        }
        return;
      case 'restart':
        this.restarts++;
        this.server = this.createServer(this.now);
        return;
      case 'tick':
        this.ticks++;
        this.now += TICK_MS;
        return;
      case 'up': {
        this.keep(this.down, this.answer(this.up.get(name!)!));
        if (this.faults.repeatsRun) {
          this.sessions.forEach((session) => Object.assign(session, { ctr: session.ctr - 1 }));
        }
        return;
      }
      case 'down':
        this.take(this.client.receive(this.down.get(name!)!, this.now));
        return;
      default:
        this.take(this.client.receive(formatAgain(this.device.session!.sid), this.now));
    }
  }

  get violation(): string | undefined {
    for (const [call, count] of this.executions.entries()) {
      const outcome = this.outcomes[call]!;
      if (count > 1) {
        return `call ${call} ran ${count} times`;
      }
      if (outcome === 'mistaken') {
        return `call ${call} took the reply of another one`;
      }
      if (count === 0 && outcome === 'ok') {
        return `call ${call} has a reply, and did not run`;
      }
      if (count > 0 && (outcome === 'no-answer' || outcome === 'refused')) {
        return `call ${call} ran, and was told that it did not`;
      }
    }
    return undefined;
  }

  /** All that later events depend on. */
  get fingerprint(): string {
    const { currentPhase, session, call, datagram } = this.device;
    const device = [
      currentPhase,
      session && [session.sid.toString('hex'), session.ctr, session.beganAt, session.isDoubtful],
      call && [call.sentAt, call.wasRefused, call.hasAsked, nameOf(call.datagram)],
      nameOf(datagram),
    ];
    const sessions = this.sessions.map(({ id, ctr, tag, isRunning, lastAt, ...rest }) => [
      id,
      ctr,
      nameOf(Buffer.from(tag)),
      isRunning,
      Math.max(lastAt, this.now - QUIET_MS),
      Math.round((rest as unknown as { readonly leastDelay: number }).leastDelay),
    ]);
    const network = [[...this.up.keys()].toSorted(), [...this.down.keys()].toSorted()];
    const counts = [this.ticks, this.restarts, this.openings];
    return JSON.stringify([device, sessions, network, counts, this.outcomes, this.executions]);
  }

  private get device() {
    return this.client as unknown as {
      readonly currentPhase: string;
      readonly session?: {
        readonly sid: Buffer;
        readonly ctr: number;
        readonly beganAt: number;
        readonly isDoubtful: boolean;
      };
      readonly call?: {
        readonly sentAt: number;
        readonly wasRefused: boolean;
        readonly hasAsked: boolean;
        readonly datagram: Buffer;
      };
      readonly datagram: Buffer;
    };
  }

  private get sessions(): Session[] {
    const { sessions } = this.server as unknown as { sessions: SessionTable };
    return [...(sessions as unknown as { sessions: Map<number, Session> }).sessions.values()];
  }

  private createServer(startedAt: number): V2ServerExchange {
    const { secretSurvives, claimsToBeOld } = this.faults;
    const secret = createHash('sha256')
      .update(`secret ${secretSurvives ? 0 : this.restarts}`)
      .digest();
    const holders = new Holders();
    const server = new V2ServerExchange(
      {
        keys: KEYS,
        maxDatagramBytes: 4096,
        maxResultBytes: 1_000_000,
        route: 1,
        secret,
      },
      { holders, admissions: ADMIT_ALL, inFlight: new InFlight(IN_FLIGHT, 10_000, holders), boards: NO_BOARDS },
    );
    server.start(claimsToBeOld || secretSurvives ? 0 : startedAt);
    return server;
  }

  /** The answer to a datagram of the device. Handlers answer at once. */
  private answer(datagram: Buffer): Buffer | undefined {
    const decision = this.server.receive(datagram, REMOTE, this.now);
    if (decision.kind !== 'request') {
      return datagramOf(decision);
    }
    const call = decision.request.data as number;
    this.executions[call]!++;
    const pending = decision.pending as unknown as V2Pending;
    const reply = this.server.reply(pending, `{"data":${call}}`, this.now);
    this.server.finish(pending, this.now);
    return typeof reply === 'string' ? undefined : reply[0];
  }

  private take(decision: V2ClientDecision): void {
    if (decision.kind === 'send') {
      const { datagram } = decision;
      if (datagram[1] === V2_TYPE.open && !this.up.has(nameOf(datagram))) {
        this.forgetOpening();
        this.openings++;
      }
      this.keep(this.up, datagram);
    } else if (decision.kind === 'failed') {
      this.outcomes[this.outcomes.length - 1] = decision.failure;
    } else if (decision.kind === 'done') {
      const call = this.outcomes.length - 1;
      this.outcomes[call] = decision.text === `{"data":${call}}` ? 'ok' : 'mistaken';
    }
  }

  /** Forgets the datagrams of the opening that is over. */
  private forgetOpening(): void {
    forgetType(this.up, V2_TYPE.open);
    forgetType(this.down, V2_TYPE.grant);
  }

  private keep(network: Map<string, Buffer>, datagram: Buffer | undefined): void {
    // AGAIN is forged anyway.
    if (datagram && datagram[1] !== V2_TYPE.again) {
      network.set(nameOf(datagram), datagram);
    }
  }
}

function forgetType(network: Map<string, Buffer>, type: number): void {
  for (const [name, datagram] of network) {
    if (datagram[1] === type) {
      network.delete(name);
    }
  }
}

function nameOf(datagram: Buffer): string {
  return `${datagram[1] ?? ''}-${createHash('sha256').update(datagram).digest('hex').slice(0, 12)}`;
}

export interface MachineState {
  /** The events that lead here. */
  readonly way: readonly string[];
  /** What makes two states equal. */
  readonly fingerprint: string;
  readonly violation: string | undefined;
  readonly outcomes: readonly Outcome[];
}

export function createMachineModel(bounds: MachineBounds, faults: MachineFaults = {}): Model<MachineState> {
  const replay = (way: readonly string[]): Machines => {
    const machines = new Machines(bounds, faults);
    way.forEach((event) => machines.play(event));
    return machines;
  };
  const describe = ({ fingerprint, violation, outcomes }: Machines, way: readonly string[]): MachineState => ({
    way,
    fingerprint,
    violation,
    outcomes: [...outcomes],
  });
  function* next({ way, fingerprint }: MachineState): Iterable<Step<MachineState>> {
    let machines: Machines | undefined = replay(way);
    // All at once, because the machines change while they are played.
    const events = [...machines.events()];
    for (const event of events) {
      machines ??= replay(way);
      machines.play(event);
      const state = describe(machines, [...way, event]);
      if (state.fingerprint !== fingerprint) {
        yield { event, state };
        machines = undefined;
      }
      // Otherwise nothing has changed, and the machines take the next event.
    }
  }
  return {
    initial: describe(replay([]), []),
    next,
    textOf: ({ fingerprint }) => fingerprint,
    violation: ({ violation }) => violation,
  };
}
