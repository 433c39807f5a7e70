/**
 * Recognises the copies of a request that has an id. Its text is not enough: MicroPython keeps no order of keys, so a dict that a board
 * reads back from a file has another text than the literal. Metadata differ between attempts, a trace id for example.
 */
import { hash } from 'node:crypto';
import type { VerifiedRequest } from '../exchange/index.js';
import { type BenUdpValue, METADATA_KEY, parsePythonText } from '../protocol/index.js';

/** The SHA-256 of a request, as base64url: of all its keys but `meta`, in any order, and of whether it wants a result. */
export function digestOf({ text, noreturn }: Pick<VerifiedRequest, 'text' | 'noreturn'>): string {
  // `noreturn` may be a flag, or a key too.
  const entries = entriesOf(parsePythonText(text)).filter(([key]) => key !== METADATA_KEY && key !== 'noreturn');
  return hash('sha256', `${noreturn} ${textOfEntries(entries)}`, 'base64url');
}

/** Equal texts for equal values. */
function textOf(value: BenUdpValue): string {
  if (typeof value === 'string') {
    return JSON.stringify(value);
  }
  if (typeof value !== 'object' || value === null) {
    return String(value);
  }
  if (Array.isArray(value)) {
    return `[${value.map(textOf).join()}]`;
  }
  if (value instanceof Uint8Array) {
    return `b${Buffer.from(value).toString('hex')}`;
  }
  return value instanceof Set ? `(${[...value].map(textOf).toSorted().join()})` : textOfEntries(entriesOf(value));
}

function textOfEntries(entries: ReadonlyArray<readonly [BenUdpValue, BenUdpValue]>): string {
  const texts = entries.map(([key, value]) => `${textOf(key)}:${textOf(value)}`);
  return `{${texts.toSorted().join()}}`;
}

function entriesOf(dict: BenUdpValue): Array<readonly [BenUdpValue, BenUdpValue]> {
  return dict instanceof Map ? [...dict] : Object.entries(dict as Record<string, BenUdpValue>);
}
