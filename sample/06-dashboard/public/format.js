/** Numbers and times as people read them. */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export function formatValue(value) {
  if (value === null || value === undefined) {
    return '–';
  }
  const digits = Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 100 ? 1 : 2;
  return value.toLocaleString('en', { maximumFractionDigits: digits });
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
  return `${ms < 10 ? ms.toFixed(2) : ms.toFixed(1)} ms`;
}
