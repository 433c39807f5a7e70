import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { VirtualBoard } from 'nestjs-ben-udp/testing';
import { type Place, measure } from './history.js';
import { DEMO_PLACES } from './keys.js';

const REPORT_MS = 2000;
const ATTIC_MS = 15_000;
const RETRY_MS = 5000;

interface Letter {
  readonly id: string;
  readonly name: string;
  readonly data: unknown;
}

const { keyFolder, boardHost, port } = workerData as { keyFolder: string; boardHost: string; port: number };
const startedAt = Date.now();

const readKey = (name: string) => readFile(join(keyFolder, `${name}.sec`));
const connect = (key: Uint8Array, timeout = 10_000) => VirtualBoard.start({ key, host: boardHost, port, timeout });

/** A board loses an exchange now and then; the next one is another matter. */
async function repeat(everyMs: number, isOn: () => boolean, step: () => Promise<unknown>): Promise<void> {
  while (isOn()) {
    await step().catch(() => undefined);
    await pause(everyMs);
  }
}

async function reporter(place: Place, untilMs = Infinity): Promise<void> {
  const board = await connect(await readKey(place.name));
  const isOn = () => Date.now() - startedAt < untilMs;
  await repeat(REPORT_MS, isOn, () => board.send({ action: 'report', data: measure(place, Date.now()) }));
}

/** A second socket of the same board, as its inbox is held for seconds. */
async function listener(name: string): Promise<void> {
  const board = await connect(await readKey(name));
  let acknowledgement: object = {};
  let last = '';
  await repeat(
    0,
    () => true,
    async () => {
      const letter = (await board.send({ action: 'inbox', data: acknowledgement })) as Letter | null;
      acknowledgement = {};
      if (letter !== null) {
        const isNew = letter.id !== last;
        last = letter.id;
        acknowledgement = { done: letter.id, result: isNew ? `${letter.name} of ${name} ran` : 'ran before' };
      }
    },
  );
}

/** Its key is not that of the server. */
async function stranger(place: Place): Promise<void> {
  const board = await connect(randomBytes(32), 2000);
  await repeat(
    RETRY_MS,
    () => true,
    () => board.send({ action: 'report', data: measure(place, Date.now()) }),
  );
}

const [attic, garage, ...others] = DEMO_PLACES;
await Promise.all([
  ...others.flatMap((place) => [reporter(place), listener(place.name)]),
  reporter(attic, ATTIC_MS),
  stranger(garage),
]);
