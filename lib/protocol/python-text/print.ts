/**
 * Prints values as MicroPython's `str()` prints them: what a device would send.
 */
import { BenUdpError } from '../../ben-udp.errors.js';
import { printNumber } from './number.js';
import { printBytes, printString } from './string.js';
import { PYTHON_TEXT_LIMITS } from './value.js';

/**
 * The Python text of a value. Objects are printed as JSON would take them: `toJSON` is asked first (a `Date` becomes its
 * ISO string), properties that are `undefined` or functions are left out, and `undefined` in a list is `None`.
 *
 * @throws BenUdpError `BEN_UNSERIALIZABLE` for functions and symbols, and for what a reader would refuse as too deep or
 * too large, which includes anything that contains itself.
 */
export function printPythonText(value: unknown): string {
  return new Printer().print(value, 0);
}

class Printer {
  private nodes = 0;

  print(value: unknown, depth: number): string {
    if (++this.nodes > PYTHON_TEXT_LIMITS.maxNodes) {
      throw new BenUdpError('BEN_UNSERIALIZABLE', `more than ${PYTHON_TEXT_LIMITS.maxNodes} values`);
    }
    switch (typeof value) {
      case 'string':
        return printString(value);
      case 'number':
        return printNumber(value);
      case 'bigint':
        return String(value);
      case 'boolean':
        return value ? 'True' : 'False';
      case 'undefined':
        return 'None';
      case 'object':
        return value === null ? 'None' : this.printObject(value, depth);
      default:
        throw new BenUdpError('BEN_UNSERIALIZABLE', `a ${typeof value} has no Python text`);
    }
  }

  private printObject(value: object, depth: number): string {
    if (value instanceof Uint8Array) {
      return printBytes(value);
    }
    const inner = nest(depth);
    if (Array.isArray(value)) {
      return `[${Array.from(value, (item) => this.print(item, inner)).join(', ')}]`;
    }
    if (value instanceof Set) {
      const items = Array.from(value, (item) => this.printHashable(item, inner));
      return items.length === 0 ? 'set()' : `{${items.join(', ')}}`;
    }
    if (value instanceof Map) {
      return printPairs(Array.from(value, ([key, item]) => [this.printHashable(key, inner), this.print(item, inner)]));
    }
    if ('toJSON' in value && typeof value.toJSON === 'function') {
      return this.print(value.toJSON(), inner);
    }
    return printPairs(
      Object.entries(value)
        .filter(([, item]) => item !== undefined && typeof item !== 'function')
        .map(([key, item]) => [printString(key), this.print(item, inner)]),
    );
  }

  /** A dict key or a set element: an array there can only have been a tuple, as Python can't hash a list. */
  private printHashable(value: unknown, depth: number): string {
    if (!Array.isArray(value)) {
      return this.print(value, depth);
    }
    const inner = nest(depth);
    const items = Array.from(value, (item) => this.printHashable(item, inner));
    return items.length === 1 ? `(${items[0]},)` : `(${items.join(', ')})`;
  }
}

function printPairs(pairs: string[][]): string {
  return `{${pairs.map(([key, value]) => `${key}: ${value}`).join(', ')}}`;
}

/** One level deeper; what contains itself ends here too. */
function nest(depth: number): number {
  const { maxDepth } = PYTHON_TEXT_LIMITS;
  if (depth === maxDepth) {
    throw new BenUdpError('BEN_UNSERIALIZABLE', `nested deeper than ${maxDepth} levels, or contains itself`);
  }
  return depth + 1;
}
