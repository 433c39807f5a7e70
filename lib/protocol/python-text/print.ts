/**
 * Prints values as MicroPython's `str()` prints them: what a device would send.
 */
import { BenUdpError } from '../../ben-udp.errors.js';
import { printNumber } from './number.js';
import { printBytes, printString } from './string.js';
import { PYTHON_TEXT_LIMITS } from './value.js';

const { maxDepth, maxNodes, maxIntDigits, maxLength } = PYTHON_TEXT_LIMITS;

/**
 * The Python text of a value. Objects are printed as JSON would take them: `toJSON` is asked first (a `Date` becomes its
 * ISO string), properties that are `undefined`, functions or symbols are left out, `undefined` in a list is `None`, and a
 * typed array is a list.
 *
 * @throws BenUdpError `BEN_UNSERIALIZABLE` for functions and symbols, for dict keys and set elements that Python can't
 * hash, and for what a reader would refuse as too deep or too large, which includes anything that contains itself.
 */
export function printPythonText(value: unknown): string {
  const text = new Printer().print(value, 0, false);
  return text.length > maxLength ? refuse(`a text of ${text.length} characters`) : text;
}

class Printer {
  private nodes = 0;

  /** @param mustHash whether the value is a dict key or a set element, or inside one. */
  print(value: unknown, depth: number, mustHash: boolean): string {
    if (++this.nodes > maxNodes) {
      return refuse(`more than ${maxNodes} values`);
    }
    const printed = hasToJson(value) ? value.toJSON() : value;
    switch (typeof printed) {
      case 'string':
        return printString(printed);
      case 'number':
        return printNumber(printed);
      case 'bigint':
        return printBigInt(printed);
      case 'boolean':
        return printed ? 'True' : 'False';
      case 'undefined':
        return 'None';
      case 'object':
        return printed === null ? 'None' : this.printObject(printed, depth, mustHash);
      default:
        return refuse(`a ${typeof printed} has no Python text`);
    }
  }

  private printObject(value: object, depth: number, mustHash: boolean): string {
    if (value instanceof Uint8Array) {
      return printBytes(value);
    }
    // One level deeper; what contains itself ends here too.
    if (depth === maxDepth) {
      return refuse(`nested deeper than ${maxDepth} levels, or contains itself`);
    }
    const inner = depth + 1;
    if (Array.isArray(value) || isTypedArray(value)) {
      const items = Array.from(value as Iterable<unknown>, (item) => this.print(item, inner, mustHash));
      // Python can't hash a list, so an array that it has to hash can only have been a tuple.
      return mustHash ? printTuple(items) : `[${items.join(', ')}]`;
    }
    if (mustHash) {
      return refuse('a dict key or set element that Python cannot hash');
    }
    if (value instanceof Set) {
      const items = Array.from(value, (item) => this.print(item, inner, true));
      return items.length === 0 ? 'set()' : `{${items.join(', ')}}`;
    }
    const isMap = value instanceof Map;
    const pairs = isMap ? Array.from(value) : Object.entries(value).filter(isPrinted);
    return `{${pairs.map(([key, item]) => this.printPair(key, item, inner)).join(', ')}}`;
  }

  private printPair(key: unknown, value: unknown, depth: number): string {
    return `${this.print(key, depth, true)}: ${this.print(value, depth, false)}`;
  }
}

/** Bytes, arrays, sets and maps have a Python text of their own, whatever their `toJSON` would make of them. */
function hasToJson(value: unknown): value is { toJSON(): unknown } {
  return (
    typeof value === 'object' &&
    value !== null &&
    !(value instanceof Uint8Array || value instanceof Set || value instanceof Map) &&
    !Array.isArray(value) &&
    'toJSON' in value &&
    typeof value.toJSON === 'function'
  );
}

function isTypedArray(value: object): boolean {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function isPrinted([, value]: [string, unknown]): boolean {
  return value !== undefined && typeof value !== 'function' && typeof value !== 'symbol';
}

function printBigInt(value: bigint): string {
  const text = String(value);
  const digits = value < 0n ? text.length - 1 : text.length;
  return digits > maxIntDigits ? refuse(`an int of ${digits} digits`) : text;
}

function printTuple(items: string[]): string {
  return items.length === 1 ? `(${items[0]},)` : `(${items.join(', ')})`;
}

function refuse(reason: string): never {
  throw new BenUdpError('BEN_UNSERIALIZABLE', reason);
}
