/** Reads the parameters of a request. Each function throws a `BadRequestException` that names the parameter. */
import { BadRequestException } from '@nestjs/common';

export function readNumber(name: string, value: unknown, lowest: number, highest: number): number {
  const number = Number(value);
  if (typeof value !== 'string' || value === '' || !(number >= lowest && number <= highest)) {
    throw new BadRequestException(`"${name}" must be a number from ${lowest} to ${highest}`);
  }
  return number;
}

export function readText(name: string, value: unknown, pattern: RegExp): string {
  // PostgreSQL has no text with NUL.
  if (typeof value !== 'string' || value.includes('\0') || !pattern.test(value)) {
    throw new BadRequestException(`"${name}" must be a text that matches ${pattern.source}`);
  }
  return value;
}

/** The times of a plot: not longer than two years. */
export function readRange(from: unknown, to: unknown): { from: number; to: number } {
  const range = { from: readNumber('from', from, 0, 1e14), to: readNumber('to', to, 0, 1e14) };
  if (!(range.from < range.to) || range.to - range.from > MAX_RANGE_MS) {
    throw new BadRequestException('"from" must be before "to", and at most two years');
  }
  return range;
}

const MAX_RANGE_MS = 2 * 366 * 86_400_000;
