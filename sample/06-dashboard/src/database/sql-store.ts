import { type SQL, and, asc, desc, eq, gt, inArray, lte, ne, sql } from 'drizzle-orm';
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core';
import {
  COMMANDS_MS,
  HOURLY_MS,
  REJECTIONS_MS,
  deleteBefore,
  insertReadings,
  moveToHours,
  selectHistory,
  selectLatest,
  toMs,
  toTime,
} from './readings.sql.js';
import * as schema from './schema.js';
import {
  type Command,
  type HistoryRequest,
  type LatestReading,
  type Line,
  type NewCommand,
  type ReadingBatch,
  type RejectionCount,
  type SeenBoard,
  type Session,
  Store,
  type Tidied,
} from './store.js';

export type Database = PgDatabase<PgQueryResultHKT, typeof schema>;

const { boards, commands, readingsHourly, rejections, series, sessions, settings } = schema;

const OPEN: Array<Command['state']> = ['queued', 'sent'];

/** The store in SQL, for PGlite and PostgreSQL. */
export class SqlStore extends Store {
  /** Numbers of series by board and metric. As many as the app admits. */
  private readonly seriesIds = new Map<string, number>();

  constructor(
    protected readonly db: Database,
    private readonly end: () => Promise<void>,
  ) {
    super();
  }

  async addReadings({ boards: names, metrics, times, values }: ReadingBatch): Promise<void> {
    const keys = names.map((name, index) => seriesKey(name, metrics[index]!));
    if (keys.some((key) => !this.seriesIds.has(key))) {
      await this.addSeries(names, metrics);
    }
    const ids = keys.map((key) => this.seriesIds.get(key)!);
    await this.db.execute(insertReadings(ids, times, values));
  }

  latestReadings(): Promise<LatestReading[]> {
    return this.rows<LatestReading>(selectLatest);
  }

  history(request: HistoryRequest): Promise<Line[]> {
    return this.rows<Line>(selectHistory(request));
  }

  async noteSeen(seen: SeenBoard[]): Promise<void> {
    if (seen.length === 0) {
      return;
    }
    // As columns: Drizzle takes tens of milliseconds to write a statement with a thousand rows, and boards wait meanwhile.
    const names = sql.param(seen.map(({ name }) => name));
    const times = sql.param(seen.map(({ lastSeenAt }) => lastSeenAt));
    const addresses = sql.param(seen.map(({ address }) => address));
    await this.db.execute(sql`
      insert into ${boards} (name, last_seen_at, address)
      select name, to_timestamp(ms / 1000), address
      from unnest(${names}::text[], ${times}::float8[], ${addresses}::text[]) as seen (name, ms, address)
      on conflict (name) do update set last_seen_at = excluded.last_seen_at, address = excluded.address`);
  }

  async seenBoards(): Promise<SeenBoard[]> {
    const rows = await this.db.select().from(boards);
    return rows.map(({ name, lastSeenAt, address }) => ({ name, lastSeenAt: lastSeenAt.getTime(), address }));
  }

  async addRejections(counts: RejectionCount[]): Promise<void> {
    if (counts.length === 0) {
      return;
    }
    const times = sql.param(counts.map(({ at }) => at));
    const reasons = sql.param(counts.map(({ reason }) => reason));
    const names = sql.param(counts.map(({ board }) => board));
    const sums = sql.param(counts.map(({ count }) => count));
    await this.db.execute(sql`
      insert into ${rejections} as old (minute, reason, board, count)
      select to_timestamp(ms / 1000), reason, board, count
      from unnest(${times}::float8[], ${reasons}::text[], ${names}::text[], ${sums}::int[]) as dropped (ms, reason, board, count)
      on conflict (minute, reason, board) do update set count = old.count + excluded.count`);
  }

  rejections(from: number, to: number, bucketMs: number): Promise<RejectionCount[]> {
    const width = sql`${bucketMs}::float8`;
    return this.rows<RejectionCount>(sql`
      select floor(${toMs(sql`minute`)} / ${width}) * ${width} as at, reason, board, sum(count)::float8 as count
      from ${rejections} where minute >= ${toTime(from)} and minute < ${toTime(to)}
      group by 1, 2, 3 order by 1, 2, 3`);
  }

  async queueCommand({ createdAt, expiresAt, ...command }: NewCommand): Promise<Command> {
    const row = { ...command, createdAt: new Date(createdAt), expiresAt: new Date(expiresAt) };
    const [queued] = await this.db.insert(commands).values(row).returning();
    return toCommand(queued!);
  }

  async takeCommand(board: string, now: number): Promise<Command | undefined> {
    const next = this.db
      .select({ id: commands.id })
      .from(commands)
      .where(and(eq(commands.board, board), inArray(commands.state, OPEN), gt(commands.expiresAt, new Date(now))))
      .orderBy(asc(commands.number))
      .limit(1);
    const [taken] = await this.db
      .update(commands)
      .set({ state: 'sent', tries: sql`${commands.tries} + 1`, sentAt: new Date(now) })
      .where(inArray(commands.id, next))
      .returning();
    return taken && toCommand(taken);
  }

  async finishCommand(board: string, id: string, result: unknown, now: number): Promise<Command | undefined> {
    const [done] = await this.db
      .update(commands)
      .set({ state: 'done', doneAt: new Date(now), result })
      .where(and(eq(commands.board, board), eq(commands.id, id), ne(commands.state, 'done'), gt(commands.tries, 0)))
      .returning();
    return done && toCommand(done);
  }

  async expireCommands(now: number): Promise<Command[]> {
    const expired = await this.db
      .update(commands)
      .set({ state: 'expired' })
      .where(and(inArray(commands.state, OPEN), lte(commands.expiresAt, new Date(now))))
      .returning();
    return expired.map(toCommand);
  }

  async listCommands(board: string | undefined, limit: number): Promise<Command[]> {
    const rows = await this.db
      .select()
      .from(commands)
      .where(board === undefined ? undefined : eq(commands.board, board))
      .orderBy(desc(commands.number))
      .limit(limit);
    return rows.map(toCommand);
  }

  async boardsWithCommands(): Promise<string[]> {
    const rows = await this.db
      .selectDistinct({ board: commands.board })
      .from(commands)
      .where(inArray(commands.state, OPEN));
    return rows.map(({ board }) => board);
  }

  async readSetting(name: string): Promise<string | undefined> {
    const [row] = await this.db.select().from(settings).where(eq(settings.name, name));
    return row?.value;
  }

  async keepSetting(name: string, value: string): Promise<string> {
    await this.db.insert(settings).values({ name, value }).onConflictDoNothing();
    return (await this.readSetting(name))!;
  }

  async addSession({ tokenHash, expiresAt }: Session, limit: number): Promise<void> {
    await this.db.insert(sessions).values({ tokenHash, expiresAt: new Date(expiresAt) });
    const kept = this.db
      .select({ tokenHash: sessions.tokenHash })
      .from(sessions)
      .orderBy(desc(sessions.expiresAt))
      .limit(limit);
    await this.db.delete(sessions).where(sql`${sessions.tokenHash} not in ${kept}`);
  }

  async removeSession(tokenHash: string): Promise<void> {
    await this.db.delete(sessions).where(eq(sessions.tokenHash, tokenHash));
  }

  async liveSessions(now: number): Promise<Session[]> {
    const rows = await this.db
      .select()
      .from(sessions)
      .where(gt(sessions.expiresAt, new Date(now)));
    return rows.map(({ tokenHash, expiresAt }) => ({ tokenHash, expiresAt: expiresAt.getTime() }));
  }

  async tidy(now: number): Promise<Tidied> {
    const toHours = await this.count(moveToHours(now));
    const deleted = [
      await this.count(deleteBefore(readingsHourly.hour, now - HOURLY_MS)),
      await this.count(deleteBefore(rejections.minute, now - REJECTIONS_MS)),
      await this.count(deleteBefore(sessions.expiresAt, now)),
      await this.count(deleteBefore(commands.createdAt, now - COMMANDS_MS)),
    ];
    return { toHours, deleted };
  }

  /** Nothing: a server of PostgreSQL does it by itself. */
  async maintain(): Promise<void> {}

  close(): Promise<void> {
    return this.end();
  }

  private async addSeries(names: string[], metrics: string[]): Promise<void> {
    const input = sql`unnest(${sql.param(names)}::text[], ${sql.param(metrics)}::text[]) as input (board, metric)`;
    await this.db.execute(sql`
      insert into ${series} (board, metric) select distinct board, metric from ${input} on conflict do nothing`);
    const found = await this.rows<{ id: number; board: string; metric: string }>(sql`
      select distinct id, board, metric from ${series} join ${input} using (board, metric)`);
    for (const { id, board, metric } of found) {
      this.seriesIds.set(seriesKey(board, metric), id);
    }
  }

  private async count(statement: SQL): Promise<number> {
    const [row] = await this.rows<{ count: number }>(statement);
    return row!.count;
  }

  /** Both drivers put the rows under this name; their common type does not say so. */
  private async rows<Row>(statement: SQL): Promise<Row[]> {
    return ((await this.db.execute(statement)) as { rows: Row[] }).rows;
  }
}

/** No name of a board has a line break, because it is the name of a file. */
function seriesKey(board: string, metric: string): string {
  return `${board}\n${metric}`;
}

function toCommand({ number: _number, ...row }: typeof commands.$inferSelect): Command {
  const ms = (time: Date | null) => time && time.getTime();
  return {
    ...row,
    createdAt: row.createdAt.getTime(),
    expiresAt: row.expiresAt.getTime(),
    sentAt: ms(row.sentAt),
    doneAt: ms(row.doneAt),
  };
}
