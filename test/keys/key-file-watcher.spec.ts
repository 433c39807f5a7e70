import { appendFile, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { SETTLE_MS, POLL_INTERVAL_MS, KeyFileWatcher } from '../../lib/keys/key-file-watcher.js';
import { type FileSignature, loadKeyFile, readSignature } from '../../lib/keys/index.js';
import { FakePlatform } from '../support/fake-platform.js';
import { temporaryFolder } from '../support/temporary-folder.js';

let folder: string;
let platform: FakePlatform;
let changes: number;

beforeEach(async () => {
  folder = await temporaryFolder();
  platform = new FakePlatform();
  changes = 0;
});

async function write(name: string, contents: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, contents.padEnd(32), { mode: 0o600 });
  return path;
}

/** A watcher of files in the state that they have now. */
async function watch(...paths: string[]): Promise<KeyFileWatcher> {
  const files = new Map<string, FileSignature>();
  for (const path of paths) {
    files.set(path, (await loadKeyFile(path, 'upstream')).signature);
  }
  const watcher = new KeyFileWatcher(files, platform, () => changes++);
  onTestFinished(() => watcher.stop());
  return watcher;
}

/** Lets the time to the next poll pass, and waits for its end, which schedules the next one. */
async function look(ms = POLL_INTERVAL_MS): Promise<void> {
  platform.advance(ms);
  await expect.poll(() => platform.pendingTimers, { interval: 1 }).toBe(1);
}

describe('KeyFileWatcher', () => {
  it('reports a change once, when two polls agree, within 1 s', async () => {
    const path = await write('a.sec', 'old');
    await watch(path);
    await look();
    expect(changes).toBe(0);
    await write('a.sec', 'new');
    await look();
    expect(changes).toBe(0);
    await look(SETTLE_MS);
    expect(changes).toBe(1);
    await look();
    await look();
    expect(changes).toBe(1);
    expect(POLL_INTERVAL_MS + SETTLE_MS).toBeLessThan(1000);
  });

  it('waits while a file is being written', async () => {
    const path = await write('a.sec', 'old');
    await watch(path);
    await appendFile(path, 'half');
    await look();
    await appendFile(path, 'whole');
    await look(SETTLE_MS);
    expect(changes).toBe(0);
    await look(SETTLE_MS);
    expect(changes).toBe(1);
  });

  it('notices a change between the load and the first poll', async () => {
    const path = await write('a.sec', 'old');
    const { signature } = await loadKeyFile(path, 'upstream');
    await write('a.sec', 'new');
    const watcher = new KeyFileWatcher(new Map([[path, signature]]), platform, () => changes++);
    onTestFinished(() => watcher.stop());
    await look();
    await look(SETTLE_MS);
    expect(changes).toBe(1);
  });

  it('notices a second change while the first is being loaded', async () => {
    const path = await write('a.sec', 'old');
    await watch(path);
    await write('a.sec', 'first');
    await look();
    await look(SETTLE_MS);
    await write('a.sec', 'second');
    await look();
    await look(SETTLE_MS);
    expect(changes).toBe(2);
  });

  it.each([
    ['is replaced by a rename', async (path: string) => rename(await write('new', 'new'), path)],
    ['is removed', (path: string) => unlink(path)],
  ])('reports a file that %s', async (_what, change) => {
    const path = await write('a.sec', 'old');
    await watch(path);
    await change(path);
    await look();
    await look(SETTLE_MS);
    expect(changes).toBe(1);
  });

  it('reports a link that leads to another file', async () => {
    const [one, other] = [await write('one', '1'), await write('other', '2')];
    const link = join(folder, 'link');
    await symlink(one, link);
    await watch(link);
    await rm(link);
    await symlink(other, link);
    await look();
    await look(SETTLE_MS);
    expect(changes).toBe(1);
  });

  it('reports many files that changed together as one change', async () => {
    const paths = await Promise.all(Array.from({ length: 50 }, (_, index) => write(`${index}.sec`, 'old')));
    await watch(...paths);
    await Promise.all(paths.map((_, index) => write(`${index}.sec`, 'new')));
    await look();
    await look(SETTLE_MS);
    expect(changes).toBe(1);
  });

  it('does nothing after it was stopped, even in the middle of a poll', async () => {
    const path = await write('a.sec', 'old');
    const watcher = await watch(path);
    await write('a.sec', 'new');
    await look();
    platform.advance(SETTLE_MS);
    watcher.stop();
    await readSignature(path);
    expect(platform.pendingTimers).toBe(0);
    expect(changes).toBe(0);
  });
});
