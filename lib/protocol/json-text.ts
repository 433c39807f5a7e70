/**
 * Prints a handler's result as JSON for a device. `JSON.stringify` would throw for a bigint, turn bytes into a long object and a Map into
 * `{}`, and write a text of any size before the size is checked.
 */
import { BenUdpError } from '../errors.js';
import { MAX_DEPTH, jsonKeyOf, refuseDepth, refuseObject, refuseType } from './json-rules.js';
import { type Bytes, isSent, kindOf, toBuffer, unbox } from './value-kind.js';

/**
 * The JSON text of a value, raw UTF-8 (MicroPython does not join surrogate escapes).
 *
 * | value | JSON |
 * |---|---|
 * | `undefined`, `NaN`, infinities | `null` |
 * | bigint | its digits |
 * | `-0` | `-0.0`, as Python writes it |
 * | `Uint8Array`, `Buffer`, `DataView`, `ArrayBuffer` | base64 string |
 * | other typed arrays, `Set` | array |
 * | `Map` | object; keys as Python's `json.dumps` writes them: str, int, float, bool, None |
 * | anything with `toJSON` | the result of it: a `Date` becomes its ISO string |
 * | any other object | its own enumerable properties |
 * | property that is `undefined`, a function or a symbol | omitted |
 *
 * @param maxLength UTF-16 units. Commas and colons do not count here, because the bytes are counted again when the text is sealed.
 * @throws BenUdpError `BEN_UNSERIALIZABLE` for functions and symbols elsewhere, promises, iterators, Observables, Errors, opaque objects,
 * other `Map` keys, and values that are nested deeper than 64 levels or contain themselves; `BEN_REPLY_TOO_LARGE` beyond `maxLength`.
 */
export function printJson(value: unknown, maxLength: number): string {
  return new JsonPrinter(maxLength).print(value, 0);
}

class JsonPrinter {
  private length = 0;

  constructor(private readonly maxLength: number) {}

  print(value: unknown, depth: number): string {
    switch (typeof value) {
      case 'string':
        this.expect(value.length);
        return this.leaf(JSON.stringify(value));
      case 'number':
        return this.leaf(printJsonNumber(value));
      case 'bigint':
        return this.leaf(String(value));
      case 'boolean':
        return this.leaf(value ? 'true' : 'false');
      case 'undefined':
        return this.leaf('null');
      case 'object':
        return value === null ? this.leaf('null') : this.printObject(value, depth);
      default:
        return refuseType(typeof value);
    }
  }

  /** @param isAsked whether the value is the result of a `toJSON`, whose own `toJSON` is not called. */
  private printObject(value: object, depth: number, isAsked = false): string {
    const kind = kindOf(value, isAsked);
    if (kind === 'json') {
      const json = (value as { toJSON(): unknown }).toJSON();
      return typeof json === 'object' && json !== null ? this.printObject(json, depth, true) : this.print(json, depth);
    }
    if (kind === 'bytes') {
      const bytes = value as Bytes;
      this.expect(bytes.byteLength);
      return this.leaf(`"${toBuffer(bytes).toString('base64')}"`);
    }
    if (kind === 'boxed') {
      return this.print(unbox(value), depth);
    }
    if (depth === MAX_DEPTH) {
      refuseDepth();
    }
    const inner = depth + 1;
    this.count(2);
    switch (kind) {
      case 'list':
      case 'set':
        return `[${this.printItems(value as Iterable<unknown>, inner)}]`;
      case 'map':
        return `{${this.printEntries(value as ReadonlyMap<unknown, unknown>, inner)}}`;
      case 'refused':
        return refuseObject(value);
      case 'record':
        return `{${this.printProperties(value, inner)}}`;
    }
  }

  /** Adds to a string, because a callback for each item and a `join` take longer. */
  private printItems(items: Iterable<unknown>, depth: number): string {
    let text = '';
    for (const item of items) {
      text += (text && ',') + this.print(item, depth);
    }
    return text;
  }

  private printEntries(entries: ReadonlyMap<unknown, unknown>, depth: number): string {
    let text = '';
    for (const [key, item] of entries) {
      text += (text && ',') + this.printPair(jsonKeyOf(key), item, depth);
    }
    return text;
  }

  private printProperties(value: object, depth: number): string {
    let text = '';
    for (const [key, item] of Object.entries(value)) {
      if (isSent(item)) {
        text += (text && ',') + this.printPair(key, item, depth);
      }
    }
    return text;
  }

  private printPair(key: string, value: unknown, depth: number): string {
    return `${this.leaf(JSON.stringify(key))}:${this.print(value, depth)}`;
  }

  /** Gives up before a value that takes at least this many units is written. */
  private expect(units: number): void {
    if (this.length + units > this.maxLength) {
      this.count(units);
    }
  }

  private leaf(text: string): string {
    this.count(text.length);
    return text;
  }

  /** Counts all units but separators, so a value that is too large is given up while it is written. */
  private count(units: number): void {
    this.length += units;
    if (this.length > this.maxLength) {
      throw new BenUdpError(
        'BEN_REPLY_TOO_LARGE',
        `the reply is longer than ${this.maxLength} characters. Return less, or raise bufferSize on both sides`,
      );
    }
  }
}

function printJsonNumber(value: number): string {
  if (!Number.isFinite(value)) {
    return 'null';
  }
  return Object.is(value, -0) ? '-0.0' : String(value);
}
