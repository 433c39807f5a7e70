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
  const pool = new pg.Pool({ connectionString: url });
  // A connection that is lost while nobody uses it: the pool opens another one.
  pool.on('error', (error) => new Logger('Database').warn(error.message));
  const db = drizzle(pool, { schema });
  await migrate(db, { migrationsFolder: MIGRATIONS });
  return new SqlStore(db, () => pool.end());
}
