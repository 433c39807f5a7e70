/** The values that a payload may be or hold: every one that docs/python-text.md shows. */
import { parsePythonText } from '../../lib/protocol/index.js';
import { documentedTexts, inCode } from '../support/python-text-page.js';

/** The kinds of value whose treatment may differ, with the texts of docs/python-text.md that are of each. */
export interface Kind {
  readonly name: string;
  readonly texts: readonly string[];
}

/** Names in the order of the page. */
const NAMES = [
  'None',
  'bool',
  'int, float',
  'int beyond 2^53',
  'nan, inf',
  'str',
  'bytes, bytearray',
  'list, tuple',
  'dict',
  'dict with `__proto__` as a key',
  'dict with a tuple or bytes as a key',
  'set',
];

export const KINDS: readonly Kind[] = NAMES.map((name) => ({
  name,
  texts: readTexts().filter((text) => nameOf(parsePythonText(text)) === name),
}));

function readTexts(): string[] {
  return documentedTexts()
    .filter(({ result }) => !inCode(result)[0]!.startsWith('BEN_'))
    .map(({ text }) => text);
}

function nameOf(value: unknown): string {
  switch (typeof value) {
    case 'boolean':
      return 'bool';
    case 'number':
      return Number.isFinite(value) ? 'int, float' : 'nan, inf';
    case 'bigint':
      return 'int beyond 2^53';
    case 'string':
      return 'str';
  }
  if (value === null) {
    return 'None';
  }
  if (Buffer.isBuffer(value)) {
    return 'bytes, bytearray';
  }
  if (Array.isArray(value)) {
    return 'list, tuple';
  }
  if (value instanceof Set) {
    return 'set';
  }
  if (value instanceof Map) {
    return 'dict with a tuple or bytes as a key';
  }
  return Object.hasOwn(value as object, '__proto__') ? 'dict with `__proto__` as a key' : 'dict';
}
