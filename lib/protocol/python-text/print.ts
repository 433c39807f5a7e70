/**
 * Prints values as MicroPython's `str()` prints them, as a device would send them.
 */
import { BenUdpError } from '../../errors.js';
import { printNumber } from './number.js';
import { printBytes, printString } from './string.js';
import { PYTHON_TEXT_LIMITS } from './value.js';
import { type Bytes, describeRefusal, isSent, kindOf, toBuffer, unbox } from '../value-kind.js';

const { maxDepth, maxNodes, maxIntDigits, maxLength } = PYTHON_TEXT_LIMITS;

/**
 * The Python text of a value. `value-kind.ts` has the rule for each object, the same as for JSON. `toJSON` is called first (a `Date`
 * becomes its ISO string). Properties that are `undefined`, functions or symbols are omitted. `undefined` in a list is `None`.
 *
 * @throws BenUdpError `BEN_UNSERIALIZABLE` for functions, symbols, promises, iterators, Observables, Errors, opaque objects, for dict keys
 * and set elements that Python can't hash, and for values that the reader would refuse as too deep or too large. A value that contains
 * itself is too deep.
 */
export function printPythonText(value: unknown): string {
  const text = new Printer().print(value, 0, false);
  return text.length > maxLength ? refuse(`more than ${maxLength} characters of Python text. Send less`) : text;
}

class Printer {
  private nodes = 0;

  /** @param mustHash whether the value is a dict key or a set element, or inside one. */
  print(value: unknown, depth: number, mustHash: boolean): string {
    if (++this.nodes > maxNodes) {
      return refuse(`more than ${maxNodes} values. Send less`);
    }
    return typeof value === 'object' && value !== null
      ? this.printObject(value, depth, mustHash)
      : this.printScalar(value);
  }

  private printScalar(value: unknown): string {
    switch (typeof value) {
      case 'string':
        return printString(value);
      case 'number':
        return printNumber(value);
      case 'bigint':
        return printBigInt(value);
      case 'boolean':
        return value ? 'True' : 'False';
      case 'undefined':
        return 'None';
      case 'object':
        return 'None';
      default:
        return refuse(`a ${typeof value} has no Python text. Send data instead`);
    }
  }

  /** @param isAsked whether the value is the result of a `toJSON`, whose own `toJSON` is not called. */
  private printObject(value: object, depth: number, mustHash: boolean, isAsked = false): string {
    const kind = kindOf(value, isAsked);
    if (kind === 'json') {
      const json = (value as { toJSON(): unknown }).toJSON();
      return typeof json === 'object' && json !== null
        ? this.printObject(json, depth, mustHash, true)
        : this.printScalar(json);
    }
    if (kind === 'bytes') {
      return printBytes(toBuffer(value as Bytes));
    }
    if (kind === 'boxed') {
      return this.printScalar(unbox(value));
    }
    // One level deeper. A value that contains itself ends here too.
    if (depth === maxDepth) {
      return refuse(`nested deeper than ${maxDepth} levels, or contains itself`);
    }
    const inner = depth + 1;
    switch (kind) {
      case 'refused':
        return refuse(describeRefusal(value));
      case 'list': {
        const items = Array.from(value as Iterable<unknown>, (item) => this.print(item, inner, mustHash));
        // Python can't hash a list, so an array that it has to hash must have been a tuple.
        return mustHash ? printTuple(items) : `[${items.join(', ')}]`;
      }
    }
    if (mustHash) {
      return refuse(
        "Python can't hash an object as a dict key or set element. Use a text, a number, bytes or an array of these",
      );
    }
    if (kind === 'set') {
      const items = Array.from(value as Iterable<unknown>, (item) => this.print(item, inner, true));
      return items.length === 0 ? 'set()' : `{${items.join(', ')}}`;
    }
    const pairs =
      kind === 'map'
        ? [...(value as ReadonlyMap<unknown, unknown>)]
        : Object.entries(value).filter(([, item]) => isSent(item));
    return `{${pairs.map(([key, item]) => this.printPair(key, item, inner)).join(', ')}}`;
  }

  private printPair(key: unknown, value: unknown, depth: number): string {
    if (key === undefined) {
      refuse('undefined is no dict key. Use a text');
    }
    return `${this.print(key, depth, true)}: ${this.print(value, depth, false)}`;
  }
}

function printBigInt(value: bigint): string {
  const text = String(value);
  const digits = value < 0n ? text.length - 1 : text.length;
  return digits > maxIntDigits ? refuse(`an int of more than ${maxIntDigits} digits. Send it as a text`) : text;
}

function printTuple(items: string[]): string {
  return items.length === 1 ? `(${items[0]},)` : `(${items.join(', ')})`;
}

function refuse(reason: string): never {
  throw new BenUdpError('BEN_UNSERIALIZABLE', reason);
}
