/** An empty database of each kind. */
import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';

export const DATABASES = ['pglite', 'postgres'] as const;
export type DatabaseKind = (typeof DATABASES)[number];

/** Whether the machine lacks the program of the kind; `services.ts` has reported that. */
export function isMissing(kind: DatabaseKind): boolean {
  return kind === 'postgres' && inject('postgresFolder') === undefined;
}

export interface TestDatabase {
  /** The data folder of the app; PGlite is in it. */
  readonly folder: string;
  /** `undefined` for PGlite. */
  readonly url: string | undefined;
  remove(): Promise<void>;
}

export async function createDatabase(kind: DatabaseKind): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'dashboard-'));
  const removeFolder = () => rm(folder, { recursive: true, force: true });
  if (kind === 'pglite') {
    await cp(inject('pgliteTemplate'), join(folder, 'pglite'), { recursive: true });
    return { folder, url: undefined, remove: removeFolder };
  }
  const name = `test_${randomBytes(6).toString('hex')}`;
  await withServer('postgres', (client) => client.query(`create database ${name}`));
  return {
    folder,
    url: postgresUrl(name),
    remove: async () => {
      await withServer('postgres', (client) => client.query(`drop database ${name} with (force)`));
      await removeFolder();
    },
  };
}

async function withServer(database: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: postgresUrl(database) });
  await client.connect();
  await work(client);
  await client.end();
}

function postgresUrl(database: string): string {
  return `postgres://postgres@localhost/${database}?host=${encodeURIComponent(inject('postgresFolder')!)}`;
}
