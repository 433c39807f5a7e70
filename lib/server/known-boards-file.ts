/**
 * The file behind `knownBoardsFile`. Each process writes one of its own, `PATH.PID`, and reads those of all others at its start. So
 * processes on one machine, and one after the other, share what they know.
 */
import { open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import type { BenUdpKnownBoard, BenUdpKnownBoardStore } from './known-board-store.js';

/** Tells the file from any other. The number is the version of the format. */
const HEADER = 'nestjs-ben-udp known boards 1';

/** Address, port, fingerprint, seconds since the epoch. */
const LINE = /^([0-9a-fA-F:.]{2,45}(?:%[\w.-]{1,16})?) (\d{1,5}) ([0-9a-f]{16}) (\d{1,11})$/;

/** No line is longer, so a larger file holds more boards than can be remembered. */
const MAX_LINE_BYTES = 100;

/** Owner may read and write, nobody else: addresses and times of boards are nobody's business. */
const FILE_MODE = 0o600;

/** Lines that are written at once. Making 1000 takes about a millisecond. */
const LINES_PER_WRITE = 1000;

export class KnownBoardsFile implements BenUdpKnownBoardStore {
  private readonly own: string;

  /**
   * @param maxBoards boards in a file.
   * @param onUnreadable told of each file that can't be used, and why.
   */
  constructor(
    private readonly path: string,
    private readonly maxBoards: number,
    private readonly onUnreadable: (message: string) => void,
  ) {
    this.own = resolve(`${path}.${process.pid}`);
  }

  async load(): Promise<BenUdpKnownBoard[]> {
    const boards = new Map<string, BenUdpKnownBoard>();
    for (const file of await this.listFiles()) {
      try {
        for (const board of await this.read(file)) {
          const endpoint = `${board.address} ${board.port}`;
          const other = boards.get(endpoint);
          boards.set(endpoint, other && other.lastSeenAt > board.lastSeenAt ? other : board);
        }
      } catch (cause) {
        const message = cause instanceof Error ? cause.message : String(cause);
        this.onUnreadable(`"${file}" can't be used: ${message}. Remove it, or set "knownBoardsFile" to another path`);
      }
    }
    return [...boards.values()];
  }

  async save(boards: Iterable<BenUdpKnownBoard>): Promise<void> {
    const temporary = `${this.own}.tmp`;
    // A file that another user has put there, or a link, is not written to.
    await rm(temporary, { force: true });
    const file = await open(temporary, 'wx', FILE_MODE);
    try {
      let lines = [HEADER];
      for (const { address, port, fingerprint, lastSeenAt } of boards) {
        lines.push(`${address} ${port} ${fingerprint} ${Math.floor(lastSeenAt / 1000)}`);
        if (lines.length >= LINES_PER_WRITE) {
          await file.write(`${lines.join('\n')}\n`);
          lines = [];
        }
      }
      await file.write(lines.map((line) => `${line}\n`).join(''));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.own);
    await this.removeLeftOvers();
  }

  /** The files of all processes, and one that somebody has put there under the plain name. */
  private async listFiles(): Promise<string[]> {
    const folder = dirname(resolve(this.path));
    const name = basename(this.path);
    const names = await readdir(folder);
    return names.filter((each) => each === name || pidOf(each, name) !== undefined).map((each) => join(folder, each));
  }

  private async read(file: string): Promise<BenUdpKnownBoard[]> {
    const stats = await stat(file);
    const { size } = stats;
    if (!stats.isFile()) {
      throw new Error('it is no file');
    }
    if (size > (this.maxBoards + 1) * MAX_LINE_BYTES) {
      throw new Error(`it has ${size} bytes, more than ${this.maxBoards} boards can have ("maxEndpoints")`);
    }
    const [header, ...lines] = (await readFile(file, 'utf8')).split('\n');
    if (header !== HEADER || lines.pop() !== '') {
      throw new Error('it is no list of known boards, or its end is missing');
    }
    return lines.map(parseLine);
  }

  /** Removes the files of processes that have ended: this one has read them, and written what they knew. */
  private async removeLeftOvers(): Promise<void> {
    const ended = (await this.listFiles()).filter((file) => {
      const pid = pidOf(basename(file), basename(this.path));
      return pid !== undefined && pid !== process.pid && !isRunning(pid);
    });
    await Promise.all(ended.map((file) => rm(file, { force: true })));
  }
}

function parseLine(line: string, index: number): BenUdpKnownBoard {
  const [, address = '', portText = '', fingerprint = '', seconds = ''] = LINE.exec(line) ?? [];
  const port = Number(portText);
  if (isIP(address.split('%', 1)[0] ?? '') === 0 || port > 65_535) {
    throw new Error(`line ${index + 2} is damaged`);
  }
  return { address, port, fingerprint, lastSeenAt: Number(seconds) * 1000 };
}

/** The process that wrote a file, by its name. */
function pidOf(file: string, name: string): number | undefined {
  const [, pid] = file.startsWith(`${name}.`) ? (/^\.(\d{1,10})$/.exec(file.slice(name.length)) ?? []) : [];
  return pid === undefined ? undefined : Number(pid);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, as another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
