/**
 * Classifies objects for both printers, JSON and Python text, so a value is sent by one rule in both directions.
 *
 * | kind | objects |
 * |---|---|
 * | `bytes` | `Uint8Array`, `Buffer`, `DataView`, `SharedArrayBuffer`, `ArrayBuffer` but for one of the length of Node's pool |
 * | `list` | arrays, all other typed arrays |
 * | `set`, `map` | `Set`, `Map` |
 * | `json` | anything else with a method `toJSON`: its result is sent |
 * | `boxed` | `new Number(1)` and similar: the value inside is sent |
 * | `refused` | promises, iterators, Observables, Errors, opaque objects (RegExp, Blob): their properties are not the data |
 * | `record` | any other object: its own enumerable properties |
 */
import { types } from 'node:util';

export type ValueKind = 'bytes' | 'list' | 'set' | 'map' | 'json' | 'boxed' | 'refused' | 'record';

export type Bytes = Uint8Array | DataView | ArrayBufferLike;

/** @param isAsked whether the value is the result of a `toJSON`, whose own `toJSON` is not called. */
export function kindOf(value: object, isAsked = false): ValueKind {
  if (Array.isArray(value)) {
    return 'list';
  }
  if (ArrayBuffer.isView(value)) {
    return types.isUint8Array(value) || types.isDataView(value) ? 'bytes' : 'list';
  }
  if (types.isAnyArrayBuffer(value)) {
    return mayBePool(value) ? 'refused' : 'bytes';
  }
  // The name is cheaper, so it is checked first. `instanceof` does not recognise objects of another realm: in Jest, the results of
  // structuredClone are such objects.
  const name = Object.prototype.toString.call(value);
  if ((name === '[object Set]' || value instanceof Set) && types.isSet(value)) {
    return 'set';
  }
  if ((name === '[object Map]' || value instanceof Map) && types.isMap(value)) {
    return 'map';
  }
  if (!isAsked && has(value, 'toJSON')) {
    return 'json';
  }
  if (types.isBoxedPrimitive(value)) {
    return 'boxed';
  }
  return isDeferred(value) || isOpaque(value, name) ? 'refused' : 'record';
}

/** The primitive in a `boxed` value: its own, because a class may have another `valueOf`. */
export function unbox(value: object): unknown {
  if (types.isNumberObject(value)) {
    return Number.prototype.valueOf.call(value);
  }
  if (types.isStringObject(value)) {
    return String.prototype.valueOf.call(value);
  }
  return types.isBooleanObject(value) ? Boolean.prototype.valueOf.call(value) : value.valueOf();
}

/**
 * The key of a `Map` that is printed: the result of `toJSON`, the primitive in a box, or the key itself. Both printers refuse
 * `undefined`, because no text has such a key.
 */
export function toKey(key: unknown): unknown {
  if (typeof key !== 'object' || key === null) {
    return key;
  }
  const kind = kindOf(key);
  const json = kind === 'json' ? (key as { toJSON(): unknown }).toJSON() : key;
  return typeof json === 'object' && json !== null && kindOf(json, true) === 'boxed' ? unbox(json) : json;
}

/** The error of a `refused` value. */
export function describeRefusal(value: object): string {
  if (types.isArrayBuffer(value)) {
    return `an ArrayBuffer of ${Buffer.poolSize} bytes may hold data of others, because Node shares such memory between Buffers; send a Buffer or Uint8Array`;
  }
  return isDeferred(value)
    ? 'a promise, an iterator or an Observable is not sent; await it first'
    : `a value of the type ${Object.prototype.toString.call(value).slice(8, -1)} is not sent; make an object or a text of its data`;
}

/** Bytes as a Buffer on the same memory. */
export function toBuffer(value: Bytes): Buffer {
  return ArrayBuffer.isView(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : Buffer.from(value as ArrayBuffer);
}

/** Whether a property of a record is sent. */
export function isSent(value: unknown): boolean {
  return value !== undefined && typeof value !== 'function' && typeof value !== 'symbol';
}

function isDeferred(value: object): boolean {
  return (
    has(value, 'then') ||
    Symbol.iterator in value ||
    Symbol.asyncIterator in value ||
    // An Observable of any library. A record may well have a method `subscribe`.
    (has(value, 'subscribe') && has(value, 'pipe'))
  );
}

/**
 * Whether an ArrayBuffer may be the pool that Node shares between small Buffers: `payload.buffer` of a Buffer that a tool has copied.
 * Node makes pools one after the other and names none of them, so only their size tells. A view of the same memory is sent.
 */
function mayBePool(value: ArrayBufferLike): boolean {
  return types.isArrayBuffer(value) && value.byteLength === Buffer.poolSize;
}

/**
 * An `Error`, or an object that keeps its data inside, which would print as `{}`. Ordinary objects are named `Object`: no cost for them.
 */
function isOpaque(value: object, name: string): boolean {
  return (
    name !== '[object Object]' &&
    (name === '[object Error]' || types.isNativeError(value) || Object.keys(value).length === 0)
  );
}

function has(value: object, method: string): boolean {
  return method in value && typeof (value as Record<string, unknown>)[method] === 'function';
}
