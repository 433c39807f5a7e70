/** A server of PostgreSQL that can't be reached, and one that vanishes without a word. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, inject, it, onTestFinished } from 'vitest';
import { App } from './support/app.js';
import { createDatabase, isMissing } from './support/databases.js';

const SOCKET = '.s.PGSQL.5432';

/** Stands between the app and the server. */
async function startProxy(): Promise<{ folder: string; hang(): void }> {
  const folder = await mkdtemp(join(tmpdir(), 'proxy-'));
  const open: Socket[] = [];
  const proxy = createServer((near) => {
    const far = connect(join(inject('postgresFolder')!, SOCKET));
    near.pipe(far).pipe(near);
    [near, far].forEach((socket) => socket.on('error', () => undefined));
    open.push(near, far);
  });
  proxy.listen(join(folder, SOCKET));
  await once(proxy, 'listening');
  onTestFinished(async () => {
    open.forEach((socket) => socket.destroy());
    proxy.close();
    await rm(folder, { recursive: true, force: true });
  });
  // The connections stay, and nothing goes through. New ones are as before.
  const hang = () => open.splice(0).forEach((socket) => socket.unpipe().pause());
  return { folder, hang };
}

describe.skipIf(isMissing('postgres'))('PostgreSQL', () => {
  it('is named if it refuses the app, without the password', async () => {
    const database = await createDatabase('pglite');
    onTestFinished(() => database.remove());
    const started = App.start({ database: { ...database, url: 'postgres://user:very-secret@127.0.0.1:1/boards' } });
    const { message } = (await started.catch((error: unknown) => error)) as Error;
    expect(message).toContain("the database of DATABASE_URL can't be opened: connect ECONNREFUSED 127.0.0.1:1");
    expect(message).not.toContain('very-secret');
  });

  it('gets readings again after it has vanished without a word', { timeout: 120_000 }, async () => {
    const proxy = await startProxy();
    const database = await createDatabase('postgres');
    const url = database.url!.replace(/host=.*/, `host=${encodeURIComponent(proxy.folder)}`);
    const app = await App.start({ database: { ...database, url } });
    onTestFinished(async () => {
      await app.end();
      await database.remove();
    });
    const board = await app.board('kitchen');
    const report = () => board.send({ action: 'report', data: { temperature: 21.5 } }).catch(() => undefined);
    expect(await report()).toMatchObject({ stored: 1 });
    proxy.hang();
    // In time for the board, which hears that it was not stored.
    expect(await report()).toBeNull();
    await expect.poll(report, { timeout: 60_000 }).toMatchObject({ stored: 1 });
  });
});
