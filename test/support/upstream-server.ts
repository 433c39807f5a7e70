/**
 * A peer that behaves as upstream's CPython server does: one exchange at a time, answers to its own port number whatever port was
 * asked from, decimal ids, JSON as `json.dumps` prints it; and it ends, for good, on anything that it does not expect.
 */
import { randomInt } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { type DatagramSocket, bindDatagramSocket } from '../../lib/net/index.js';
import { Sealer, digest, isHello, parseEnvelope, parsePythonText, printPythonText } from '../../lib/protocol/index.js';
import { deriveKey } from '../../lib/keys/index.js';

export interface UpstreamServerOptions {
  /** The contents of the key file. */
  key: Uint8Array;
  handlers: Record<string, (data?: unknown) => unknown>;
  host?: string;
  /** Milliseconds it waits for a request after a hello. Default 10000. */
  timeout?: number;
  bufferSize?: number;
}

interface Arrival {
  readonly datagram: Buffer;
  readonly address: string;
}

export class UpstreamServer {
  /** Requests that were served, as their texts. */
  readonly served: string[] = [];
  /** Ids that were issued. */
  readonly ids: string[] = [];
  /** Its last error; `undefined` while it lives. */
  causeOfDeath: unknown;
  private readonly unread: Arrival[] = [];
  private reader: ((arrival: Arrival) => void) | undefined;
  private socket!: DatagramSocket;
  private readonly sealer: Sealer;

  private constructor(private readonly options: Required<UpstreamServerOptions>) {
    this.sealer = new Sealer(deriveKey(options.key));
  }

  static async start(options: UpstreamServerOptions): Promise<UpstreamServer> {
    const server = new UpstreamServer({ host: '127.0.0.1', timeout: 10_000, bufferSize: 4096, ...options });
    server.socket = await bindDatagramSocket(
      { host: server.options.host, port: 0, receiveBufferSize: undefined },
      { onDatagram: (datagram, { address }) => server.store({ datagram, address }), onError: () => undefined },
    );
    let isOver = false;
    const over = server.serve().catch(async (error: unknown) => {
      server.causeOfDeath = error;
      isOver = true;
      await server.socket.close();
    });
    onTestFinished(async () => {
      if (!isOver) {
        server.store({ datagram: Buffer.from('end of test'), address: '127.0.0.1' });
      }
      await over;
    });
    return server;
  }

  get port(): number {
    return this.socket.address.port;
  }

  private async serve(): Promise<never> {
    for (;;) {
      const hello = await this.receive();
      expectThat(isHello(hello.datagram), 'no hello');
      const id = String(randomInt(100_000, 99_999_999_999));
      this.ids.push(id);
      const pair = this.sealer.seal(id);
      this.answer(hello, [pair.ciphertext, pair.iv]);
      const request = await this.receive(this.options.timeout);
      const { text, reply } = await this.execute(id, request.datagram);
      if (reply !== undefined) {
        const { ciphertext, iv } = this.sealer.seal(reply);
        this.answer(request, [digest(Buffer.from(id), ciphertext, iv), iv, ciphertext]);
      }
      this.served.push(text);
    }
  }

  private async execute(id: string, datagram: Buffer): Promise<{ text: string; reply: string | undefined }> {
    const envelope = parseEnvelope(datagram);
    if (typeof envelope === 'string') {
      throw new Error(`no envelope: ${envelope}`);
    }
    const { hash, data, iv } = envelope;
    expectThat(digest(Buffer.from(id), data, iv).equals(hash), 'a hash that does not fit');
    const text = this.sealer.open(data, iv).toString().trim();
    const dict = parsePythonText(text) as Record<string, unknown>;
    const handler = this.options.handlers[dict['action'] as string];
    expectThat(handler !== undefined, 'KeyError: the action is not known');
    const result = await ('data' in dict ? handler!(dict['data']) : handler!());
    return { text, reply: 'noreturn' in dict ? undefined : dumpJson({ data: result }) };
  }

  /** To the sender's address, and the server's own port number. */
  private answer({ address }: Arrival, datagrams: readonly Buffer[]): void {
    datagrams.forEach((datagram) => this.socket.send(datagram, this.port, address));
  }

  private store(arrival: Arrival): void {
    const cut = { ...arrival, datagram: arrival.datagram.subarray(0, this.options.bufferSize) };
    const { reader } = this;
    this.reader = undefined;
    if (reader) {
      reader(cut);
    } else {
      this.unread.push(cut);
    }
  }

  private receive(timeout?: number): Promise<Arrival> {
    const next = this.unread.shift();
    if (next) {
      return Promise.resolve(next);
    }
    return new Promise((resolve, reject) => {
      const timer =
        timeout === undefined ? undefined : setTimeout(() => reject(new Error('socket.timeout: timed out')), timeout);
      this.reader = (arrival) => {
        clearTimeout(timer);
        resolve(arrival);
      };
    });
  }
}

/** What `json.dumps` prints by default: a space behind each comma and colon, ASCII only. */
export function dumpJson(value: unknown): string {
  if (typeof value === 'string') {
    const escape = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
    return JSON.stringify(value).replace(/[^ -~]/g, escape);
  }
  if (typeof value === 'boolean' || value === null || value === undefined) {
    return String(value ?? null);
  }
  if (Array.isArray(value)) {
    return `[${value.map(dumpJson).join(', ')}]`;
  }
  if (typeof value === 'object') {
    const pairs = Object.entries(value).map(([key, item]) => `${dumpJson(key)}: ${dumpJson(item)}`);
    return `{${pairs.join(', ')}}`;
  }
  return printPythonText(value);
}

function expectThat(isTrue: boolean, otherwise: string): void {
  if (!isTrue) {
    throw new Error(otherwise);
  }
}
