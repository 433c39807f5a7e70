/**
 * The rules that both forms of JSON share: the text for a device, and the value for a broker.
 */
import { BenUdpError } from '../errors.js';
import { nameOfKey } from './python-text/key-name.js';
import { describeRefusal, toKey } from './value-kind.js';

/** Levels of lists and objects. A value that contains itself also reaches this limit. */
export const MAX_DEPTH = 64;

export function refuseType(type: string): never {
  refuse(`JSON can't carry a ${type}. Return data instead`);
}

export function refuseDepth(): never {
  refuse(`nested deeper than ${MAX_DEPTH} levels, or contains itself`);
}

export function refuseObject(value: object): never {
  refuse(describeRefusal(value));
}

/** The key of a `Map` as Python's `json.dumps` writes it. */
export function jsonKeyOf(mapKey: unknown): string {
  const key = toKey(mapKey);
  // A number is a float if Python text would print it as one.
  return (
    nameOfKey(key, !Number.isSafeInteger(key)) ??
    refuse("JSON can't carry a Map key that is not a str, number, bool or None")
  );
}

function refuse(reason: string): never {
  throw new BenUdpError('BEN_UNSERIALIZABLE', reason);
}
