/**
 * From the start of a process to the first answer of its Nest app, on BenUdp and on Nest's TCP transport, in turns.
 */
import { Child, LOAD_CORE } from './child.mjs';
import { createPeers } from './peers.mjs';
import { median } from './statistics.mjs';

const STARTS = 15;
const KINDS = /** @type {const} */ (['ben', 'tcp']);
const OPTIONS = { dataBytes: 32, noreturn: false, keys: 1, peers: 1 };

/**
 * Milliseconds until the answer is there; and until the server said that it listens.
 *
 * @param {KINDS[number]} kind
 */
async function startOnce(kind) {
  const beginning = performance.now();
  /** @type {Child<import('./server.mjs').ServerFunctions>} */
  const server = new Child('server', { core: LOAD_CORE });
  const port = await server.ask('start', { kind, ...OPTIONS });
  const listeningMs = performance.now() - beginning;
  const answered = withResolvers();
  const [peer] = createPeers(kind, { ...OPTIONS, port }, answered.resolve);
  await peer.open();
  peer.begin();
  await answered.promise;
  const firstAnswerMs = performance.now() - beginning;
  peer.close();
  await server.stop();
  return { listeningMs, firstAnswerMs };
}

/** @returns {{ promise: Promise<unknown>, resolve: (value?: unknown) => void }} */
function withResolvers() {
  /** @type {(value?: unknown) => void} */
  let resolve = () => undefined;
  const promise = new Promise((settle) => (resolve = settle));
  return { promise, resolve };
}

export async function measureStarts() {
  /** @type {Record<KINDS[number], Awaited<ReturnType<typeof startOnce>>[]>} */
  const starts = { ben: [], tcp: [] };
  for (let turn = 0; turn < STARTS; turn++) {
    for (const kind of turn % 2 === 0 ? KINDS : KINDS.toReversed()) {
      starts[kind].push(await startOnce(kind));
    }
  }
  return KINDS.map((kind) => ({
    server: { ben: 'BenUdp', tcp: 'Nest TCP' }[kind],
    listeningMs: median(starts[kind].map(({ listeningMs }) => listeningMs)),
    firstAnswerMs: median(starts[kind].map(({ firstAnswerMs }) => firstAnswerMs)),
    ratioToTcp: median(starts[kind].map(({ firstAnswerMs }, turn) => firstAnswerMs / starts.tcp[turn].firstAnswerMs)),
  }));
}
