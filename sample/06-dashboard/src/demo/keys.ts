import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { generateKeyFile } from 'nestjs-ben-udp';
import type { Settings } from '../settings.js';

/** Boards of the demo: the first falls silent, the second has a wrong key. */
export const DEMO_PLACES = [
  { name: 'attic', celsius: 27, swing: 4.2, lag: 1, percent: 38 },
  { name: 'garage', celsius: 15, swing: 3, lag: 2, percent: 60 },
  { name: 'cellar', celsius: 14, swing: 0.6, lag: 7, percent: 64 },
  { name: 'greenhouse', celsius: 25, swing: 5.5, lag: 0, percent: 70 },
  { name: 'kitchen', celsius: 21.5, swing: 1.8, lag: 3.5, percent: 46 },
] as const;

/** It has a key, and no board. */
const UNUSED = 'shed';

/** Makes the keys of a first start: one, or those of the demo. */
export async function ensureKeys({ keyFolder, isDemo }: Settings): Promise<void> {
  await mkdir(keyFolder, { recursive: true });
  const files = await readdir(keyFolder);
  if (files.some((name) => name.endsWith('.sec'))) {
    return;
  }
  const names = isDemo ? [...DEMO_PLACES.map(({ name }) => name), UNUSED] : ['board-01'];
  await Promise.all(names.map((name) => generateKeyFile(join(keyFolder, `${name}.sec`))));
  console.log(`There were no keys, so new ones were made in ${keyFolder}: ${names.join(', ')}.`);
}
