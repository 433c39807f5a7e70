/** The recorded exchanges, as bytes. */
import { readFileSync } from 'node:fs';

export interface RecordedFile {
  keyfile: string;
  key: string;
  runs: Array<{ micropython: string; exchanges: Array<RecordedFileExchange> }>;
}

interface RecordedFileExchange {
  id: string;
  request: string;
  request_padding: number;
  response: string | null;
  seen_by_device: string;
  datagrams: Array<{ dir: 'c2s' | 's2c'; hex: string }>;
}

export interface RecordedExchange {
  /** Names run, exchange and action in test titles. */
  readonly title: string;
  readonly micropython: string;
  readonly id: Buffer;
  readonly request: string;
  readonly requestPadding: number;
  readonly response: string | null;
  readonly seenByDevice: string;
  readonly hello: Buffer;
  readonly pair: { readonly ciphertext: Buffer; readonly iv: Buffer };
  readonly envelope: Buffer;
  /** Datagrams 5 to 7; empty for `noreturn`. */
  readonly reply: readonly Buffer[];
}

const file = JSON.parse(readFileSync(new URL('../vectors/upstream-v1.json', import.meta.url), 'utf8')) as RecordedFile;

export const recordedKeyFile = Buffer.from(file.keyfile, 'hex');
export const recordedKey = Buffer.from(file.key, 'hex');

export const recordedExchanges: readonly RecordedExchange[] = file.runs.flatMap(({ micropython, exchanges }) =>
  exchanges.map((exchange, index) => {
    const [hello, ciphertext, iv, envelope, ...reply] = exchange.datagrams.map(({ hex }) => Buffer.from(hex, 'hex'));
    if (!hello || !ciphertext || !iv || !envelope) {
      throw new Error(`recording ${micropython} #${index} is incomplete`);
    }
    return {
      title: `${micropython} #${index} ${exchange.request.slice(0, 60)}`,
      micropython,
      id: Buffer.from(exchange.id, 'ascii'),
      request: exchange.request,
      requestPadding: exchange.request_padding,
      response: exchange.response,
      seenByDevice: exchange.seen_by_device,
      hello,
      pair: { ciphertext, iv },
      envelope,
      reply,
    };
  }),
);

/** The datagrams of exchanges as hex text: the input of `decode`. */
export function toHexText(exchanges: readonly RecordedExchange[] = recordedExchanges): string {
  const lines = exchanges.flatMap(({ hello, pair, envelope, reply }) => [
    toLine('>', hello),
    toLine('<', pair.ciphertext),
    toLine('<', pair.iv),
    toLine('>', envelope),
    ...reply.map((datagram) => toLine('<', datagram)),
  ]);
  return `${lines.join('\n')}\n`;
}

function toLine(mark: '>' | '<', datagram: Buffer): string {
  return `${mark} ${datagram.toString('hex')}`;
}

/** Tuples are read as arrays, non-ASCII text is printed escaped, and MicroPython prints some floats with a wrong last digit. */
export function isPrintedAlike({ request }: RecordedExchange): boolean {
  return !/\(|[^\x20-\x7e]|\.\d{10}/.test(request);
}

/** Key order is arbitrary: compare the request dicts' pairs in one order. */
export function sortKeys(text: string): string {
  return text
    .replace(/^\{|\}$/g, '')
    .split(/, (?='(?:action|data|noreturn)': )/)
    .toSorted()
    .join(', ');
}
