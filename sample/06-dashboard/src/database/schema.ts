/**
 * The tables, for PGlite and PostgreSQL alike. After a change, make a migration. drizzle-kit has to be beside drizzle-orm:
 *
 *     npm install --no-save drizzle-kit@0.31
 *     npx drizzle-kit generate --dialect postgresql --schema src/database/schema.ts --out migrations
 */
import { sql } from 'drizzle-orm';
import {
  bigserial,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  serial,
  text,
  timestamp,
  unique,
} from 'drizzle-orm/pg-core';

const time = (name: string) => timestamp(name, { withTimezone: true, precision: 3 });

/** When each board last sent anything. */
export const boards = pgTable('boards', {
  name: text('name').primaryKey(),
  lastSeenAt: time('last_seen_at').notNull(),
  address: text('address').notNull(),
});

/** A quantity that a board measures. Readings have its number, which is smaller than two names. */
export const series = pgTable(
  'series',
  {
    id: serial('id').primaryKey(),
    board: text('board').notNull(),
    metric: text('metric').notNull(),
  },
  (table) => [unique('series_board_metric').on(table.board, table.metric)],
);

/** The last day, as the boards sent it. Without a key: two readings may have the same millisecond. */
export const readings = pgTable(
  'readings',
  {
    seriesId: integer('series_id').notNull(),
    at: time('at').notNull(),
    value: doublePrecision('value').notNull(),
  },
  (table) => [
    // For plots.
    index('readings_series_at').on(table.seriesId, table.at),
    // For retention, which takes the oldest first.
    index('readings_at').on(table.at),
  ],
);

/** The year before, by the hour. */
export const readingsHourly = pgTable(
  'readings_hourly',
  {
    seriesId: integer('series_id').notNull(),
    hour: time('hour').notNull(),
    count: integer('count').notNull(),
    mean: doublePrecision('mean').notNull(),
    min: doublePrecision('min').notNull(),
    max: doublePrecision('max').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.seriesId, table.hour] }),
    // For retention: without it each run would read the whole year.
    index('readings_hourly_hour').on(table.hour),
  ],
);

/** Dropped datagrams by the minute. `board` is empty if no key verified the datagram. */
export const rejections = pgTable(
  'rejections',
  {
    minute: time('minute').notNull(),
    reason: text('reason').notNull(),
    board: text('board').notNull(),
    count: integer('count').notNull(),
  },
  (table) => [primaryKey({ columns: [table.minute, table.reason, table.board] })],
);

/**
 * Commands for boards. `id` is random: a board compares it with the last one that it ran, also after a database has been replaced.
 */
export const commands = pgTable(
  'commands',
  {
    id: text('id').primaryKey(),
    number: bigserial('number', { mode: 'number' }).notNull(),
    board: text('board').notNull(),
    name: text('name').notNull(),
    data: jsonb('data'),
    state: text('state', { enum: ['queued', 'sent', 'done', 'expired'] })
      .notNull()
      .default('queued'),
    tries: integer('tries').notNull().default(0),
    createdAt: time('created_at').notNull(),
    expiresAt: time('expires_at').notNull(),
    sentAt: time('sent_at'),
    doneAt: time('done_at'),
    result: jsonb('result'),
  },
  (table) => [
    index('commands_board_number').on(table.board, table.number),
    // For retention.
    index('commands_created_at').on(table.createdAt),
    index('commands_open')
      .on(table.expiresAt)
      .where(sql`${table.state} in ('queued', 'sent')`),
  ],
);

/** The hash of the password. */
export const settings = pgTable('settings', {
  name: text('name').primaryKey(),
  value: text('value').notNull(),
});

/** Logins. Only the hash of a token is stored, so a copy of the database opens no session. */
export const sessions = pgTable('sessions', {
  tokenHash: text('token_hash').primaryKey(),
  expiresAt: time('expires_at').notNull(),
});
