/**
 * Everything that the app asks of its database. Arguments and results are plain data, because they cross a thread with PGlite.
 */

/** Readings as columns, which are cheaper to pass to another thread and to SQL than objects. */
export interface ReadingBatch {
  readonly boards: string[];
  readonly metrics: string[];
  /** Milliseconds since the epoch. */
  readonly times: number[];
  readonly values: number[];
}

export interface SeenBoard {
  readonly name: string;
  readonly lastSeenAt: number;
  readonly address: string;
}

/** The newest reading of a series; `at` and `value` are `null` before the first. */
export interface LatestReading {
  readonly board: string;
  readonly metric: string;
  readonly at: number | null;
  readonly value: number | null;
}

/** A line of a plot: for each time a mean, and the lowest and highest reading of the bucket that begins there. */
export interface Line {
  readonly board: string;
  readonly metric: string;
  readonly times: number[];
  readonly means: number[];
  readonly lows: number[];
  readonly highs: number[];
  /** Readings in each bucket, so that the page can add further ones to the last mean. */
  readonly counts: number[];
  /** When the newest reading in it came; `null` without readings. A page that was told of a later one adds it to the line. */
  readonly newest: number | null;
}

export interface HistoryRequest {
  readonly boards: string[];
  /** Milliseconds since the epoch: from `from` to before `to`. */
  readonly from: number;
  readonly to: number;
  /** Buckets between the two. */
  readonly points: number;
}

export interface RejectionCount {
  /** The bucket, in milliseconds since the epoch. */
  readonly at: number;
  readonly reason: string;
  /** Empty if no key verified the datagram. */
  readonly board: string;
  readonly count: number;
}

export type CommandState = 'queued' | 'sent' | 'done' | 'expired';

export interface Command {
  readonly id: string;
  readonly board: string;
  readonly name: string;
  readonly data: unknown;
  readonly state: CommandState;
  readonly tries: number;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly sentAt: number | null;
  readonly doneAt: number | null;
  readonly result: unknown;
}

export type NewCommand = Pick<Command, 'id' | 'board' | 'name' | 'data' | 'createdAt' | 'expiresAt'>;

export interface Session {
  readonly tokenHash: string;
  readonly expiresAt: number;
}

/** What retention has moved or deleted. */
export interface Tidied {
  readonly toHours: number;
  /** By table. */
  readonly deleted: number[];
}

/** Also the token for injection. */
export abstract class Store {
  /** Resolves when the readings are stored. */
  abstract addReadings(batch: ReadingBatch): Promise<void>;
  abstract latestReadings(): Promise<LatestReading[]>;
  abstract history(request: HistoryRequest): Promise<Line[]>;

  abstract noteSeen(boards: SeenBoard[]): Promise<void>;
  abstract seenBoards(): Promise<SeenBoard[]>;

  abstract addRejections(counts: RejectionCount[]): Promise<void>;
  /** Summed up in buckets of `bucketMs`. */
  abstract rejections(from: number, to: number, bucketMs: number): Promise<RejectionCount[]>;

  abstract queueCommand(command: NewCommand): Promise<Command>;
  /** Hands out the oldest open command of a board, and counts the try. */
  abstract takeCommand(board: string, now: number): Promise<Command | undefined>;
  /** Also one that expired after it was sent. `undefined` if the board was sent no such command, or has finished it. */
  abstract finishCommand(board: string, id: string, result: unknown, now: number): Promise<Command | undefined>;
  /** The commands that have just expired. */
  abstract expireCommands(now: number): Promise<Command[]>;
  /** The newest first. */
  abstract listCommands(board: string | undefined, limit: number): Promise<Command[]>;
  abstract boardsWithCommands(): Promise<string[]>;

  abstract readSetting(name: string): Promise<string | undefined>;
  /** Keeps a value that exists; the value that is stored. */
  abstract keepSetting(name: string, value: string): Promise<string>;
  abstract addSession(session: Session, limit: number): Promise<void>;
  abstract removeSession(tokenHash: string): Promise<void>;
  abstract liveSessions(now: number): Promise<Session[]>;

  /** Moves old readings into hours, and deletes rows that are too old. One call does a limited amount, so that no insert waits long. */
  abstract tidy(now: number): Promise<Tidied>;
  /**
   * The work of PostgreSQL's background processes, for PGlite, which has none: frees the space of moved readings, counts rows for the plans
   * of queries, and ends the write-ahead log, which would grow by some 200 bytes with each reading.
   */
  abstract maintain(): Promise<void>;
  abstract close(): Promise<void>;
}

/** For the border between threads. `satisfies` and the test of the store hold that none is missing. */
export const STORE_METHODS = [
  'addReadings',
  'latestReadings',
  'history',
  'noteSeen',
  'seenBoards',
  'addRejections',
  'rejections',
  'queueCommand',
  'takeCommand',
  'finishCommand',
  'expireCommands',
  'listCommands',
  'boardsWithCommands',
  'readSetting',
  'keepSetting',
  'addSession',
  'removeSession',
  'liveSessions',
  'tidy',
  'maintain',
  'close',
] as const satisfies ReadonlyArray<keyof Store>;
