/** Starts that fail, starts beside another app, and odd places. */
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { App, type AppOptions, SAMPLE } from './support/app.js';
import { type TestDatabase, createDatabase } from './support/databases.js';

async function createPglite(): Promise<TestDatabase> {
  const database = await createDatabase('pglite');
  onTestFinished(() => database.remove());
  return database;
}

async function start(options: AppOptions): Promise<App> {
  const app = await App.start(options);
  onTestFinished(async () => void (await app.end()));
  return app;
}

it('shows the made password at the first start that succeeds', async () => {
  const database = await createPglite();
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  onTestFinished(() => void other.close());
  const taken = String((other.address() as AddressInfo).port);
  const env = { DASHBOARD_PASSWORD: '' };
  await expect(App.start({ database, env: { ...env, HTTP_PORT: taken } })).rejects.toThrow('EADDRINUSE');
  const app = await start({ database, env });
  const [, password] = /The password: +(\S+) +\(shown this once\)/.exec(app.output)!;
  expect((await app.logIn(password)).status).toBe(204);
});

it('leaves a folder of PGlite to the app that uses it, and takes it after that was killed', async () => {
  const database = await createPglite();
  const first = await start({ database });
  await expect(App.start({ database })).rejects.toThrow(`another dashboard uses the folder ${database.folder}`);
  await first.end('SIGKILL');
  await start({ database });
});

it('serves the page from a folder with a dot, and odd characters', async () => {
  const database = await createPglite();
  const folder = await mkdtemp(join(tmpdir(), 'dashboard-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const place = join(folder, '.odd #1 %20 ü');
  const packages = join(place, 'node_modules');
  await mkdir(packages, { recursive: true });
  for (const name of ['dist', 'migrations', 'public', 'package.json']) {
    await cp(join(SAMPLE, name), join(place, name), { recursive: true });
  }
  // Files of these are served. The others are too large to copy.
  const served = new Set(['htm', 'preact', 'uplot']);
  for (const name of await readdir(join(SAMPLE, 'node_modules'))) {
    const [from, to] = [join(SAMPLE, 'node_modules', name), join(packages, name)];
    await (served.has(name) ? cp(from, to, { recursive: true }) : symlink(from, to));
  }
  const data = join(folder, 'data #1 %20 ü');
  const app = await start({ database, place, env: { DASHBOARD_DATA: data } });
  const paths = [
    '/',
    '/app.js',
    '/vendor/preact.mjs',
    '/vendor/preact-hooks.mjs',
    '/vendor/htm.mjs',
    '/vendor/uplot.css',
  ];
  const statuses = await Promise.all(paths.map(async (path) => (await app.fetch(path)).status));
  expect(statuses).toEqual(paths.map(() => 200));
});
