/**
 * PGlite is PostgreSQL compiled to WebAssembly: each query holds its thread. So it has a thread of its own, and the store with it: a
 * week of readings becomes a plot here, and only the plot crosses the border.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { PGlite } from '@electric-sql/pglite';
import { drizzle } from 'drizzle-orm/pglite';
import { migrate } from 'drizzle-orm/pglite/migrator';
import type { StoreCall } from './remote-store.js';
import * as schema from './schema.js';
import { PgliteStore } from './pglite-store.js';

const { folder, migrations } = workerData as { folder: string; migrations: string };
const owner = parentPort!;

const pglite = await PGlite.create(folder);
const db = drizzle(pglite, { schema });
await migrate(db, { migrationsFolder: migrations });
const store = new PgliteStore(db, () => pglite.close());

owner.on('message', async ({ id, method, args }: StoreCall) => {
  try {
    // The types of both sides come from the same method.
    const run = store[method].bind(store) as (...values: unknown[]) => Promise<unknown>;
    owner.postMessage({ id, result: await run(...args) });
  } catch (error) {
    owner.postMessage({ id, error });
  }
});
owner.postMessage({ ready: true });
