/**
 * The file behind `knownBoardsFile`. Each process writes its own file, with random digits at the end of its name, and reads those of all
 * others at its start. So concurrent and successive processes share their known boards. A process id would not do: in containers that
 * share a folder, each process may be number 1.
 */
import { randomBytes } from 'node:crypto';
import { open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import type { BenUdpKnownBoard, BenUdpKnownBoardStore } from './known-board-store.js';

/** Identifies the file. The number is the version of the format. */
const HEADER = 'nestjs-ben-udp known boards 1';

/** Address, port, fingerprint, seconds since the epoch. */
const LINE = /^([0-9a-fA-F:.]{2,45}(?:%[\w.-]{1,16})?) (\d{1,5}) ([0-9a-f]{16}) (\d{1,11})$/;

/** No line is longer, so a larger file holds more boards than can be remembered. */
const MAX_LINE_BYTES = 100;

/** The endings of the files of processes. */
const OF_A_PROCESS = /^\.[0-9a-f]{16}$/;
const UNFINISHED = /^\.[0-9a-f]{16}\.tmp$/;

/** Only the owner may read and write, because addresses and times of boards are private. */
const FILE_MODE = 0o600;

/** A file that was not written for this long belongs to a process that has ended: ten saves. */
const ABANDONED_MS = 600_000;

/** Lines that are written at once. Making 1000 takes about a millisecond. */
const LINES_PER_WRITE = 1000;

export class KnownBoardsFile implements BenUdpKnownBoardStore {
  private readonly own: string;

  /**
   * @param maxBoards boards in a file.
   * @param onUnreadable called for each file that can't be used, with the reason.
   */
  constructor(
    private readonly path: string,
    private readonly maxBoards: number,
    private readonly onUnreadable: (message: string) => void,
  ) {
    this.own = resolve(`${path}.${randomBytes(8).toString('hex')}`);
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
    // A save that failed may have left it.
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

  /** The files of all processes, and a file with the plain name, if an operator has put one there. */
  private async listFiles(): Promise<string[]> {
    return this.list((ending) => ending === '' || OF_A_PROCESS.test(ending));
  }

  /** @param isWanted told the rest of a name behind that of the option. */
  private async list(isWanted: (ending: string) => boolean): Promise<string[]> {
    const folder = dirname(resolve(this.path));
    const name = basename(this.path);
    const names = await readdir(folder);
    return names
      .filter((each) => each.startsWith(name) && isWanted(each.slice(name.length)))
      .map((each) => join(folder, each));
  }

  private async read(file: string): Promise<BenUdpKnownBoard[]> {
    const stats = await stat(file);
    const { size } = stats;
    if (!stats.isFile()) {
      throw new Error('it is not a file');
    }
    if (size > (this.maxBoards + 1) * MAX_LINE_BYTES) {
      throw new Error(`it has ${size} bytes, more than ${this.maxBoards} boards can have ("maxEndpoints")`);
    }
    const [header, ...lines] = (await readFile(file, 'utf8')).split('\n');
    if (header !== HEADER || lines.pop() !== '') {
      throw new Error('it is not a list of known boards, or its end is missing');
    }
    return lines.map(parseLine);
  }

  /**
   * Removes the files of ended processes, complete or not. This process has read the boards of those that ended before its start, and
   * saved them in its own file.
   */
  private async removeLeftOvers(): Promise<void> {
    const files = await this.list((ending) => OF_A_PROCESS.test(ending) || UNFINISHED.test(ending));
    await Promise.all(
      files.map(async (file) => {
        const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: Infinity }));
        // The times of files are of the machine's clock.
        if (Date.now() - mtimeMs > ABANDONED_MS) {
          await rm(file, { force: true });
        }
      }),
    );
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
