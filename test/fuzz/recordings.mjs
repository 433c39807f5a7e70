/** What upstream's programs once said to each other, test/vectors/upstream-v1.json, as inputs to begin with. */
import { readFileSync } from 'node:fs';

/** @type {import('../support/vectors.ts').RecordedFile} */
const { keyfile, runs } = JSON.parse(readFileSync(new URL('../vectors/upstream-v1.json', import.meta.url), 'utf8'));
const exchanges = runs.flatMap((run) => run.exchanges);
const datagrams = exchanges.flatMap((exchange) =>
  exchange.datagrams.map(({ dir, hex }) => ({ dir, bytes: Buffer.from(hex, 'hex') })),
);

export const recordings = {
  keyFile: Buffer.from(keyfile, 'hex'),
  datagrams: datagrams.map(({ bytes }) => bytes),
  envelopes: datagrams.filter(({ dir, bytes }) => dir === 'c2s' && bytes[0] === 0x7b).map(({ bytes }) => bytes),
  /** Plaintexts. */
  requests: exchanges.map(({ request }) => request),
  replies: exchanges.map(({ response }) => response).filter((text) => text !== null),
};
