/**
 * Turns a value into one that JSON carries unchanged, for a broker. `JSON.stringify` would throw for a bigint, turn bytes into a long
 * object and a Map into `{}`.
 */
import { MAX_DEPTH, jsonKeyOf, refuseDepth, refuseObject, refuseType } from './json-rules.js';
import { setOwnProperty } from './own-property.js';
import { type Bytes, isSent, kindOf, toBuffer, unbox } from './value-kind.js';

/**
 * | value | crosses as |
 * |---|---|
 * | `null`, booleans, texts, finite numbers | themselves; `-0` as `0` |
 * | `undefined` as the whole value | nothing: the handler gets `undefined` |
 * | `NaN`, infinities, `undefined` in a list | `null` |
 * | bigint | the text of its digits |
 * | `Uint8Array`, `Buffer`, `DataView`, `ArrayBuffer` | base64 text |
 * | other typed arrays, `Set` | array |
 * | `Map` | object; keys as Python's `json.dumps` writes them |
 * | anything with `toJSON` | the result of it: a `Date` becomes its ISO text |
 * | any other object | its own enumerable properties |
 *
 * @throws BenUdpError `BEN_UNSERIALIZABLE` for functions, symbols, promises, iterators, Observables, Errors, opaque objects,
 * other `Map` keys, and values that are nested deeper than 64 levels or contain themselves.
 */
export function toJsonValue(value: unknown): unknown {
  return convert(value, 0);
}

function convert(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'undefined':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : null;
    case 'bigint':
      return String(value);
    case 'object':
      return value === null ? null : convertObject(value, depth);
    default:
      return refuseType(typeof value);
  }
}

function convertObject(value: object, depth: number, isAsked = false): unknown {
  const kind = kindOf(value, isAsked);
  if (kind === 'json') {
    const json = (value as { toJSON(): unknown }).toJSON();
    return typeof json === 'object' && json !== null ? convertObject(json, depth, true) : convert(json, depth);
  }
  if (kind === 'bytes') {
    return toBuffer(value as Bytes).toString('base64');
  }
  if (kind === 'boxed') {
    return convert(unbox(value), depth);
  }
  if (depth === MAX_DEPTH) {
    refuseDepth();
  }
  switch (kind) {
    case 'list':
    case 'set':
      return Array.from(value as Iterable<unknown>, (item) => convert(item, depth + 1) ?? null);
    case 'map':
      return toRecord(
        Array.from(value as ReadonlyMap<unknown, unknown>, ([key, item]) => [jsonKeyOf(key), item]),
        depth,
      );
    case 'record':
      return toRecord(
        Object.entries(value).filter(([, item]) => isSent(item)),
        depth,
      );
    case 'refused':
      return refuseObject(value);
  }
}

function toRecord(entries: ReadonlyArray<[key: string, item: unknown]>, depth: number): Record<string, unknown> {
  const record: Record<string, unknown> = {};
  for (const [key, item] of entries) {
    setOwnProperty(record, key, convert(item, depth + 1) ?? null);
  }
  return record;
}
