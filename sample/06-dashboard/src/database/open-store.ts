import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import pg from 'pg';
import { MIGRATIONS, type Settings } from '../settings.js';
import { lockFolder } from './lock-folder.js';
import { startRemoteStore } from './remote-store.js';
import * as schema from './schema.js';
import { SqlStore } from './sql-store.js';
import type { Store } from './store.js';

/**
 * A board waits 10 s. Without this limit, a statement to a machine that has vanished would wait for many minutes, and all readings behind it.
 */
const PATIENCE_MS = 8000;

/** PostgreSQL if `DATABASE_URL` names one, else PGlite in the data folder. Brings the tables up to date. */
export async function openStore({ databaseUrl, dataFolder }: Settings): Promise<Store> {
  return databaseUrl === undefined ? openPglite(dataFolder) : openPostgres(databaseUrl);
}

async function openPglite(dataFolder: string): Promise<Store> {
  const folder = join(dataFolder, 'pglite');
  await mkdir(folder, { recursive: true });
  await lockFolder(folder);
  return startRemoteStore(folder, MIGRATIONS, (error) => {
    new Logger('Database').fatal(error);
    // Without its database the app would answer boards and lose their readings. A supervisor starts it again.
    process.exit(1);
  });
}

async function openPostgres(url: string): Promise<Store> {
  await updateTables(url);
  const pool = new pg.Pool({ connectionString: url, connectionTimeoutMillis: PATIENCE_MS, query_timeout: PATIENCE_MS });
  // A connection that is lost while nobody uses it: the pool opens another one.
  pool.on('error', (error) => new Logger('Database').warn(error.message));
  return new SqlStore(drizzle(pool, { schema }), () => pool.end());
}

/** On a connection of its own, because a migration of a large table takes longer than a board waits. */
async function updateTables(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: PATIENCE_MS });
  try {
    await client.connect();
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    throw new Error(`the database of DATABASE_URL can't be opened: ${message || code}`, { cause: error });
  }
  await migrate(drizzle(client, { schema }), { migrationsFolder: MIGRATIONS });
  await client.end();
}
