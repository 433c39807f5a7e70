/**
 * The names that dict keys get in JSON, and in the object that a dict becomes.
 */
import { printFloat } from './number.js';

/**
 * A dict key as Python's `json.dumps` writes it; `undefined` for a key that `json.dumps` refuses, such as a tuple or bytes.
 *
 * @param isFloat whether a number is a float in Python. `1.0` and `1` are the same number here, but have different names.
 */
export function nameOfKey(key: unknown, isFloat: boolean): string | undefined {
  switch (typeof key) {
    case 'string':
      return key;
    case 'boolean':
    case 'bigint':
      return String(key);
    case 'number':
      return isFloat && Number.isFinite(key) ? printFloat(key) : String(key);
    default:
      return key === null ? 'null' : undefined;
  }
}
