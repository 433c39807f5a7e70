/**
 * Readings in SQL: a batch in, a plot out, and retention. PGlite and PostgreSQL run the same statements.
 */
import { type SQL, sql } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import { readings, readingsHourly, series } from './schema.js';
import type { HistoryRequest } from './store.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
export const RAW_MS = DAY_MS;
export const HOURLY_MS = 365 * DAY_MS;
export const REJECTIONS_MS = 90 * DAY_MS;
export const COMMANDS_MS = 90 * DAY_MS;

/** Rows that one statement of retention moves or deletes. PGlite takes some 100 ms for them, and inserts wait meanwhile. */
export const TIDY_ROWS = 10_000;

/** A time from milliseconds since the epoch. */
export const toTime = (ms: number): SQL => sql`to_timestamp(${ms}::float8 / 1000)`;

/** Milliseconds since the epoch, as a number of JavaScript. */
export const toMs = (time: SQL | unknown): SQL => sql`(extract(epoch from ${time}) * 1000)::float8`;

export function insertReadings(seriesIds: number[], times: number[], values: number[]): SQL {
  return sql`
    insert into ${readings} (series_id, at, value)
    select series_id, to_timestamp(ms / 1000), value
    from unnest(${sql.param(seriesIds)}::int[], ${sql.param(times)}::float8[], ${sql.param(values)}::float8[])
      as batch (series_id, ms, value)`;
}

/**
 * A reading is either raw or in its hour, never in both, so the two can be added up. An hour that has begun before `from` counts too, at
 * `from`: else a plot within an hour would look as if nothing had been measured.
 */
export function selectHistory({ boards, from, to, points }: HistoryRequest): SQL {
  const width = sql`${(to - from) / points}::float8`;
  const start = sql`${from}::float8`;
  const bucketOf = (ms: SQL) => sql`floor((${ms} - ${start}) / ${width})`;
  return sql`
    with shown as (
      select id, board, metric from ${series} where board = any(${sql.param(boards)}::text[])
    ),
    points as (
      select series_id, ${bucketOf(toMs(sql`at`))} as bucket,
        count(*) as count, sum(value) as total, min(value) as low, max(value) as high, max(at) as newest
      from ${readings}
      where series_id in (select id from shown) and at >= ${toTime(from)} and at < ${toTime(to)}
      group by 1, 2
      union all
      select series_id, greatest(${bucketOf(toMs(sql`hour`))}, 0), sum(count), sum(count * mean), min(min), max(max), max(hour)
      from ${readingsHourly}
      where series_id in (select id from shown) and hour > ${toTime(from - HOUR_MS)} and hour < ${toTime(to)}
      group by 1, 2
    ),
    buckets as (
      select series_id, bucket, (sum(total) / sum(count))::float8 as mean, min(low) as low, max(high) as high,
        sum(count)::float8 as count, max(newest) as newest
      from points group by 1, 2
    )
    select board, metric,
      coalesce(json_agg(${start} + bucket * ${width} order by bucket) filter (where bucket is not null), '[]') as times,
      coalesce(json_agg(mean order by bucket) filter (where bucket is not null), '[]') as means,
      coalesce(json_agg(low order by bucket) filter (where bucket is not null), '[]') as lows,
      coalesce(json_agg(high order by bucket) filter (where bucket is not null), '[]') as highs,
      coalesce(json_agg(count order by bucket) filter (where bucket is not null), '[]') as counts,
      ${toMs(sql`max(newest)`)} as newest
    from shown left join buckets on buckets.series_id = shown.id
    group by board, metric order by board, metric`;
}

/** The newest reading of each series. A board that was silent for a day has only hours. */
export const selectLatest: SQL = sql`
  select board, metric, ${toMs(sql`coalesce(raw.at, hourly.hour)`)} as at, coalesce(raw.value, hourly.mean) as value
  from ${series}
  left join lateral (
    select at, value from ${readings} where series_id = series.id order by at desc limit 1
  ) raw on true
  left join lateral (
    select hour, mean from ${readingsHourly} where series_id = series.id and raw.at is null order by hour desc limit 1
  ) hourly on true
  order by board, metric`;

/** One statement, so a reading is never lost and never counted twice, whenever the process ends. */
export function moveToHours(now: number): SQL {
  return sql`
    with moved as (
      delete from ${readings}
      where ctid = any(array(
        select ctid from ${readings} where at < ${toTime(now - RAW_MS)} order by at limit ${TIDY_ROWS}
      ))
      returning series_id, at, value
    ),
    hours as (
      insert into ${readingsHourly} as old (series_id, hour, count, mean, min, max)
      select series_id, date_trunc('hour', at, 'UTC'), count(*), avg(value), min(value), max(value)
      from moved group by 1, 2
      on conflict (series_id, hour) do update set
        count = old.count + excluded.count,
        mean = (old.mean * old.count + excluded.mean * excluded.count) / (old.count + excluded.count),
        min = least(old.min, excluded.min),
        max = greatest(old.max, excluded.max)
    )
    select count(*)::int as count from moved`;
}

/** Deletes the oldest rows from before a time. */
export function deleteBefore(time: PgColumn, before: number): SQL {
  return sql`
    with gone as (
      delete from ${time.table}
      where ctid = any(array(
        select ctid from ${time.table} where ${time} < ${toTime(before)} order by ${time} limit ${TIDY_ROWS}
      ))
      returning 1
    )
    select count(*)::int as count from gone`;
}
