/**
 * The values Python text stands for, and the limits within which it is read.
 */
import { toBuffer } from '../value-kind.js';

/**
 * What a literal becomes.
 *
 * | Python | here |
 * |---|---|
 * | `None` | `null` |
 * | `True`, `False` | boolean |
 * | int | number, `bigint` beyond ±(2^53 - 1) |
 * | float, also `nan` and `inf` | number |
 * | str | string |
 * | bytes, bytearray | `Buffer` with memory of its own |
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
 * The same text for two hashable values exactly where Python takes them for one key: 1 == 1.0 == True, and bytes and
 * tuples are equal by content.
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
    // Lengths, not quotes, tell the items apart: escaped quotes would double with every level.
    const keys = value.map(equalityKey);
    return `tuple ${keys.map((key) => `${key.length}:${key}`).join('')}`;
  }
  return value instanceof Uint8Array ? `bytes ${toBuffer(value).toString('latin1')}` : 'None';
}

export interface PythonTextLimits {
  /** Containers inside each other. */
  readonly maxDepth: number;
  /** Values in all, containers and dict keys included. */
  readonly maxNodes: number;
  /** Digits of one int. */
  readonly maxIntDigits: number;
  /** UTF-16 units of the whole text. */
  readonly maxLength: number;
}

/** The limits a server reads with. */
export const PYTHON_TEXT_LIMITS: PythonTextLimits = {
  // A recursive reader overflows the stack from about 8,000 levels.
  maxDepth: 32,
  maxNodes: 4096,
  // The smallest limit CPython's own int() can be set to, so every CPython reads what is read here.
  maxIntDigits: 640,
  // No UDP datagram holds more.
  maxLength: 65_536,
};
