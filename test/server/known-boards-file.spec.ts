import { mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { platform } from 'node:process';
import { beforeEach, describe, expect, it } from 'vitest';
import { type BenUdpKnownBoard, KnownBoardsFile } from '../../lib/server/index.js';
import { temporaryFolder } from '../support/temporary-folder.js';

const HEADER = 'nestjs-ben-udp known boards 1\n';
const BOARD = { address: '10.0.0.7', port: 8585, fingerprint: '0123456789abcdef', lastSeenAt: 1_764_170_000_000 };
const LINE = '10.0.0.7 8585 0123456789abcdef 1764170000\n';
/** Higher than any process id, so no such process runs. */
const ENDED_PID = 4_294_967_295;

let path: string;
let warnings: string[];

const create = (maxBoards = 100) => new KnownBoardsFile(path, maxBoards, (message) => warnings.push(message));
const ownFile = () => `${path}.${process.pid}`;

beforeEach(async () => {
  path = join(await temporaryFolder(), 'known-boards.txt');
  warnings = [];
});

describe('KnownBoardsFile', () => {
  it('saves boards of IPv4 and IPv6, and loads them', async () => {
    const boards = [BOARD, { ...BOARD, address: 'fe80::1%eth0' }, { ...BOARD, address: '::ffff:10.0.0.9', port: 1 }];
    await create().save(boards);
    expect(await create().load()).toEqual(boards);
    expect(await readFile(ownFile(), 'utf8')).toMatch(`${HEADER}${LINE}`);
    expect(warnings).toEqual([]);
  });

  it.skipIf(platform === 'win32')(
    'writes a file that its owner alone may read, and leaves no other behind',
    async () => {
      await create().save([BOARD]);
      expect((await stat(ownFile())).mode & 0o777).toBe(0o600);
      expect(await readdir(join(path, '..'))).toEqual([`known-boards.txt.${process.pid}`]);
    },
  );

  it.skipIf(platform === 'win32')('never writes through a link that lies in the way', async () => {
    const victim = join(path, '..', 'victim');
    await writeFile(victim, 'untouched');
    await symlink(victim, `${ownFile()}.tmp`);
    await symlink(victim, ownFile());
    await create().save([BOARD]);
    expect(await readFile(victim, 'utf8')).toBe('untouched');
    expect(await create().load()).toEqual([BOARD]);
  });

  it('is written in parts, and takes thousands of boards', async () => {
    const boards = Array.from({ length: 2500 }, (_, port): BenUdpKnownBoard => ({ ...BOARD, port }));
    await create(2500).save(boards.values());
    expect(await create(2500).load()).toEqual(boards);
  });

  it('merges the files of all processes: the latest time of a board counts', async () => {
    await writeFile(`${path}.17`, HEADER + LINE);
    await writeFile(
      `${path}.18`,
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

  it('removes the files of processes that have ended when it has saved, and leaves those of others', async () => {
    await writeFile(`${path}.${ENDED_PID}`, HEADER + LINE);
    await writeFile(`${path}.${process.ppid}`, HEADER + LINE);
    await create().save([BOARD]);
    expect((await readdir(join(path, '..'))).toSorted()).toEqual(
      [process.pid, process.ppid].map((pid) => `known-boards.txt.${pid}`).toSorted(),
    );
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
    await writeFile(`${path}.17`, contents);
    await writeFile(`${path}.18`, HEADER + LINE);
    expect(await create().load()).toEqual([BOARD]);
    expect(warnings).toEqual([expect.stringContaining(`${path}.17" can't be used: `)]);
  });

  it('warns of a folder under its name', async () => {
    await mkdir(`${path}.17`);
    expect(await create().load()).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining('it is no file')]);
  });

  it('has nothing to load at the first start, and fails without its folder', async () => {
    expect(await create().load()).toEqual([]);
    path = join(path, 'missing', 'known-boards.txt');
    await expect(create().load()).rejects.toThrow('ENOENT');
    await expect(create().save([])).rejects.toThrow('ENOENT');
  });
});
