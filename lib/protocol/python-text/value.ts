/**
 * The values of Python text, and the limits of its reader.
 */
import { toBuffer } from '../value-kind.js';

/**
 * The JavaScript value of a literal.
 *
 * | Python | here |
 * |---|---|
 * | `None` | `null` |
 * | `True`, `False` | boolean |
 * | int | number, `bigint` beyond ±(2^53 - 1) |
 * | float, also `nan` and `inf` | number |
 * | str | string |
 * | bytes, bytearray | `Buffer` outside Node's pool |
 * | list, tuple | array |
 * | set | `Set` |
 * | dict | ordinary object, keys as `json.dumps` writes them; `Map` if a key is a tuple or bytes |
 */
export type BenUdpValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | BenUdpValue[]
  | Set<BenUdpValue>
  | Map<BenUdpValue, BenUdpValue>
  | { [key: string]: BenUdpValue };

/**
 * A text that is the same for two hashable values exactly if Python takes them for one key: 1 == 1.0 == True, and bytes and tuples
 * are equal by content.
 */
export function equalityKey(value: BenUdpValue): string {
  switch (typeof value) {
    case 'string':
      return `str ${value}`;
    case 'boolean':
      return `int ${Number(value)}`;
    case 'bigint':
      return `int ${value}`;
    case 'number':
      return Number.isInteger(value) ? `int ${BigInt(value)}` : `float ${value}`;
  }
  if (Array.isArray(value)) {
    // Lengths instead of quotes separate the items, because escaped quotes would double with every level.
    const keys = value.map(equalityKey);
    return `tuple ${keys.map((key) => `${key.length}:${key}`).join('')}`;
  }
  return value instanceof Uint8Array ? `bytes ${toBuffer(value).toString('latin1')}` : 'None';
}

export interface PythonTextLimits {
  /** Nested containers. */
  readonly maxDepth: number;
  /** All values, including containers and dict keys. */
  readonly maxNodes: number;
  /** Digits of one int. */
  readonly maxIntDigits: number;
  /** UTF-16 units of the whole text. */
  readonly maxLength: number;
}

/** The limits of a server. */
export const PYTHON_TEXT_LIMITS: PythonTextLimits = {
  // A recursive reader overflows the stack at about 8,000 levels.
  maxDepth: 32,
  maxNodes: 4096,
  // The smallest limit that CPython's own int() can have, so every CPython reads the same numbers.
  maxIntDigits: 640,
  // No UDP datagram holds more.
  maxLength: 65_536,
};
