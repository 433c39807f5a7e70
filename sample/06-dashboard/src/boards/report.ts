/** The payload of a report: `{"temperature": 21.5, "humidity": 50}`. */
import { RpcException } from '@nestjs/microservices';

/** Metrics in one report. */
export const MAX_METRICS = 16;

/** Beyond this a sum of readings could overflow in the database, and one board would break the plots of all. */
export const MAX_VALUE = 1e30;

/** Below this a reading counts as 0, because PostgreSQL refuses to divide a sum of such values: it would become 0. */
export const MIN_VALUE = 1e-30;

const METRIC = /^[A-Za-z][\w.-]{0,31}$/;

/**
 * The numbers of a report by metric. A bool counts as 0 or 1. A broken sensor reports `nan`: that metric is left out, and so is text.
 *
 * @throws RpcException if nothing is left to store: the board gets the reason.
 */
export function readReport(data: unknown): Map<string, number> {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) {
    throw new RpcException('a report is a dict of numbers, such as {"temperature": 21.5}');
  }
  const entries = Object.entries(data);
  if (entries.length > MAX_METRICS) {
    throw new RpcException(`a report has at most ${MAX_METRICS} metrics, this one has ${entries.length}`);
  }
  const numbers = entries
    .map(([metric, value]): [string, number] => [metric, toNumber(value)])
    .filter(([metric, value]) => METRIC.test(metric) && Math.abs(value) <= MAX_VALUE);
  if (numbers.length === 0) {
    throw new RpcException('the report has no number to store');
  }
  return new Map(numbers);
}

/** NaN if it is no number. */
function toNumber(value: unknown): number {
  const isNumber = typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean';
  const number = isNumber ? Number(value) : NaN;
  return Math.abs(number) < MIN_VALUE ? 0 : number;
}
