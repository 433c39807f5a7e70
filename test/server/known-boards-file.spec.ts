import { mkdir, readFile, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { platform } from 'node:process';
import { beforeEach, describe, expect, it } from 'vitest';
import { type BenUdpKnownBoard, KnownBoardsFile } from '../../lib/server/index.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const HEADER = 'nestjs-ben-udp known boards 1\n';
const BOARD = { address: '10.0.0.7', port: 8585, fingerprint: '0123456789abcdef', lastSeenAt: 1_764_170_000_000 };
const LINE = '10.0.0.7 8585 0123456789abcdef 1764170000\n';
/** The endings of the files of two other processes. */
const [ONE, OTHER] = ['0000000000000017', '0000000000000018'];

let path: string;
let warnings: string[];

const create = (maxBoards = 100) => new KnownBoardsFile(path, maxBoards, (message) => warnings.push(message));
const filesOf = async () => (await readdir(join(path, '..'))).toSorted();

/** Writes a file as another process did, some time ago. */
async function writeOther(name: string, contents: string, ageMs = 0): Promise<void> {
  await writeFile(name, contents);
  const time = (Date.now() - ageMs) / 1000;
  await utimes(name, time, time);
}

beforeEach(async () => {
  path = join(await temporaryFolder(), 'known-boards.txt');
  warnings = [];
});

describe('KnownBoardsFile', () => {
  it('saves boards of IPv4 and IPv6, and loads them', async () => {
    const boards = [BOARD, { ...BOARD, address: 'fe80::1%eth0' }, { ...BOARD, address: '::ffff:10.0.0.9', port: 1 }];
    await create().save(boards);
    expect(await create().load()).toEqual(boards);
    const [file] = await filesOf();
    expect(await readFile(join(path, '..', file!), 'utf8')).toMatch(`${HEADER}${LINE}`);
    expect(warnings).toEqual([]);
  });

  it.skipIf(platform === 'win32')(
    'writes a file that its owner alone may read, and leaves no other behind',
    async () => {
      const file = create();
      await file.save([BOARD]);
      await file.save([BOARD]);
      const files = await filesOf();
      expect(files).toEqual([expect.stringMatching(/^known-boards\.txt\.[0-9a-f]{16}$/)]);
      expect((await stat(join(path, '..', files[0]!))).mode & 0o777).toBe(0o600);
    },
  );

  it('is written in parts, and takes thousands of boards', async () => {
    const boards = Array.from({ length: 2500 }, (_, port): BenUdpKnownBoard => ({ ...BOARD, port }));
    await create(2500).save(boards.values());
    expect(await create(2500).load()).toEqual(boards);
  });

  it('merges the files of all processes: the latest time of a board counts', async () => {
    await writeFile(`${path}.${ONE}`, HEADER + LINE);
    await writeFile(
      `${path}.${OTHER}`,
      `${HEADER}10.0.0.7 8585 fedcba9876543210 1764170001\n10.0.0.8 1 0123456789abcdef 1\n`,
    );
    await writeFile(path, HEADER + LINE);
    await writeFile(`${path}.txt`, 'not one of them');
    expect(await create().load()).toEqual([
      { ...BOARD, fingerprint: 'fedcba9876543210', lastSeenAt: 1_764_170_001_000 },
      { ...BOARD, address: '10.0.0.8', port: 1, lastSeenAt: 1000 },
    ]);
    expect(warnings).toEqual([]);
  });

  it('shares a folder with processes of the same id, as in containers', async () => {
    const other = { ...BOARD, port: 1 };
    await Promise.all([create().save([BOARD]), create().save([other])]);
    expect((await create().load()).toSorted((a, b) => b.port - a.port)).toEqual([BOARD, other]);
  });

  it('removes files that nobody has written for ten minutes, half-written ones too, and leaves the others', async () => {
    await writeOther(`${path}.${ONE}`, HEADER + LINE, 601_000);
    await writeOther(`${path}.${ONE}.tmp`, HEADER, 601_000);
    await writeOther(`${path}.${OTHER}`, HEADER + LINE, 599_000);
    await writeOther(`${path}.${OTHER}.tmp`, HEADER, 599_000);
    await writeOther(path, HEADER + LINE, 601_000);
    await writeOther(`${path}.notes`, HEADER + LINE, 601_000);
    await create().save([BOARD]);
    const names = ['', `.${OTHER}`, `.${OTHER}.tmp`, '.notes'].map((ending) => `known-boards.txt${ending}`);
    expect(await filesOf()).toEqual(expect.arrayContaining(names));
    expect(await filesOf()).toHaveLength(names.length + 1);
  });

  it.each([
    ['nothing', ''],
    ['other text', 'hello\n'],
    ['another version', `nestjs-ben-udp known boards 2\n${LINE}`],
    ['half a line', HEADER + LINE.slice(0, -5)],
    ['an address that is none', `${HEADER}10.0.0.999 8585 0123456789abcdef 1\n`],
    ['a port that is none', `${HEADER}10.0.0.7 65536 0123456789abcdef 1\n`],
    ['a fingerprint that is none', `${HEADER}10.0.0.7 8585 0123456789abcdeg 1\n`],
    ['more boards than are remembered', HEADER + LINE.repeat(400)],
  ])('warns of a file that holds %s, and loads the others', async (_what, contents) => {
    await writeFile(`${path}.${ONE}`, contents);
    await writeFile(`${path}.${OTHER}`, HEADER + LINE);
    expect(await create().load()).toEqual([BOARD]);
    expect(warnings).toEqual([expect.stringContaining(`${path}.${ONE}" can't be used: `)]);
  });

  it('warns of a folder under its name', async () => {
    await mkdir(`${path}.${ONE}`);
    expect(await create().load()).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining('it is not a file')]);
  });

  it('has nothing to load at the first start, and fails without its folder', async () => {
    expect(await create().load()).toEqual([]);
    path = join(path, 'missing', 'known-boards.txt');
    await expect(create().load()).rejects.toThrow('ENOENT');
    await expect(create().save([])).rejects.toThrow('ENOENT');
  });
});
