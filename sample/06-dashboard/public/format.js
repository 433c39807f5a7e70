/** Numbers and times as people read them. */
import { unitOf } from './units.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A reading with the unit of its metric. */
export function formatValue(value, metric) {
  if (value === null || value === undefined) {
    return '–';
  }
  const { unit, digits } = unitOf(metric);
  const number = formatNumber(value, digits);
  return unit === '' ? number : `${number}\u00a0${unit}`;
}

/** @param digits fixed decimals; without it, fewer for larger numbers. */
export function formatNumber(value, digits) {
  const size = Math.abs(value);
  if (size >= 1e9 || (digits === undefined && size > 0 && size < 0.01)) {
    return value.toExponential(2).replace('e+', 'e');
  }
  const most = size >= 1000 ? 0 : size >= 100 ? 1 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: digits ?? 0, maximumFractionDigits: digits ?? most });
}

/** The labels of an axis, with the decimals of its step: otherwise 1013.25 and 1013.5 would look alike. */
export function formatTicks(values, step) {
  const digits = [0, 1, 2, 3, 4, 5].find((count) => isWhole(step * 10 ** count)) ?? 6;
  return values.map((value) => formatNumber(value, digits));
}

function isWhole(number) {
  return Math.abs(number - Math.round(number)) < 1e-6;
}

/** "12 s", "5 min", "3 h", "2 days". */
export function formatDuration(ms) {
  if (ms < MINUTE) {
    return `${Math.max(0, Math.floor(ms / SECOND))} s`;
  }
  if (ms < HOUR) {
    return `${Math.floor(ms / MINUTE)} min`;
  }
  if (ms < DAY) {
    return `${Math.floor(ms / HOUR)} h`;
  }
  const days = Math.floor(ms / DAY);
  return days === 1 ? '1 day' : `${days} days`;
}

export function formatAge(ms) {
  return ms < 5 * SECOND ? 'just now' : `${formatDuration(ms)} ago`;
}

export function formatTime(ms) {
  return new Date(ms).toLocaleTimeString('en-GB');
}

export function formatDate(ms) {
  const date = new Date(ms);
  return `${date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })}, ${date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })}`;
}

export function formatMs(ms) {
  if (ms >= SECOND) {
    return `${(ms / SECOND).toFixed(2)} s`;
  }
  return `${ms < 10 ? ms.toFixed(2) : ms.toFixed(1)} ms`;
}
