/** Virtual boards for a first look. They are in a thread of their own, as they would be in places of their own. */
import { Worker } from 'node:worker_threads';
import type { Store } from '../database/store.js';
import type { Settings } from '../settings.js';
import { makeWeek } from './history.js';
import { DEMO_PLACES } from './keys.js';

/** Starts them; what to see, in words. */
export async function startDemo({ keyFolder, boardHost }: Settings, store: Store, port: number): Promise<string> {
  await makeWeek(
    store,
    DEMO_PLACES.filter(({ name }) => name !== 'garage'),
  );
  const worker = new Worker(new URL('boards.worker.js', import.meta.url), {
    workerData: { keyFolder, boardHost, port },
  });
  worker.on('error', (error) => console.error('The virtual boards have ended:', error));
  worker.unref();
  return `Virtual boards report every two seconds:
  kitchen, greenhouse, cellar   temperature and humidity; they fetch commands
  attic                         reports for 15 s, then falls silent
  garage                        has a wrong key, so it is rejected
  shed                          has a key, and no board
`;
}
