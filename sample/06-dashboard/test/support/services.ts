/** Starts what all specs share: a PostgreSQL server, and a PGlite folder that each spec copies, because making one takes seconds. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import type { TestProject } from 'vitest/node';
import { findBrowser, findPostgres, reportMissing } from './programs.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** `undefined` if PostgreSQL is not installed. */
    postgresFolder: string | undefined;
    pgliteTemplate: string;
    browser: string | undefined;
  }
}

export default async function start(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'dashboard-'));
  const template = join(folder, 'template');
  const [stopPostgres] = await Promise.all([startPostgres(project), makeTemplate(template)]);
  project.provide('pgliteTemplate', template);
  project.provide('browser', findBrowser());
  if (findBrowser() === undefined) {
    reportMissing('chromium');
  }
  return async () => {
    await stopPostgres();
    await rm(folder, { recursive: true, force: true });
  };
}

async function makeTemplate(folder: string): Promise<void> {
  const pglite = await PGlite.create(folder);
  await pglite.close();
}

/** On a socket in a folder, so it needs no port. It refuses to run as root. */
async function startPostgres(project: TestProject): Promise<() => Promise<void>> {
  const programs = findPostgres();
  project.provide('postgresFolder', undefined);
  if (programs === undefined) {
    reportMissing('postgresql');
    return () => Promise.resolve();
  }
  const folder = await mkdtemp(join(tmpdir(), 'postgres-'));
  await chmod(folder, 0o777);
  const asUser = userInfo().uid === 0 ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups'] : [];
  const command = (program: string, ...args: string[]) => {
    const [first, ...rest] = [...asUser, join(programs, program), ...args];
    return [first!, rest] as const;
  };
  const data = join(folder, 'data');
  execFileSync(...command('initdb', '-D', data, '-U', 'postgres', '--auth=trust', '--no-sync'), { stdio: 'ignore' });
  const server = spawn(...command('postgres', '-D', data, '-k', folder, '-c', 'listen_addresses='), {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await new Promise<void>((resolve, reject) => {
    server.stderr!.on('data', (text) => String(text).includes('ready to accept connections') && resolve());
    server.once('exit', (code) => reject(new Error(`postgres ended with ${code}`)));
  });
  project.provide('postgresFolder', folder);
  return async () => {
    server.kill('SIGINT');
    await once(server, 'exit');
    await rm(folder, { recursive: true, force: true });
  };
}
