/**
 * `JSON.parse` for texts of a peer, with exact ints.
 */
import { randomUUID } from 'node:crypto';
import { setOwnProperty } from './own-property.js';

/** In valid JSON, matches a whole string, or a whole number with its fraction and exponent. */
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(\.\d+)?([eE][+-]?\d+)?/g;

/** A number beyond ±(2^53 - 1) has at least this many digits. */
const MANY_DIGITS = /\d{16}/;

/**
 * `JSON.parse` with `bigint`s for ints beyond ±(2^53 - 1). The time is proportional to the length of the text, because a peer chooses
 * the text: `JSON.parse` with a reviver takes seconds for 65 kB of nested lists.
 *
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (!MANY_DIGITS.test(text)) {
    return value;
  }
  // Begins the strings that stand for bigints while `JSON.parse` runs. A peer can't know it, so no text of a peer begins with it.
  const mark = `int:${randomUUID()}:`;
  let isMarked = false;
  const marked = text.replace(STRING_OR_NUMBER, (token, fraction?: string, exponent?: string) => {
    const isInt = !token.startsWith('"') && fraction === undefined && exponent === undefined;
    if (!isInt || Number.isSafeInteger(Number(token))) {
      return token;
    }
    isMarked = true;
    return `"${mark}${token}"`;
  });
  return isMarked ? unmark(JSON.parse(marked), mark) : value;
}

/** Replaces the marked strings by bigints. Not recursive, because a peer's nesting could overflow the stack. */
function unmark(value: unknown, mark: string): unknown {
  const root: Container = [value];
  const open: Container[] = [root];
  for (let container = open.pop(); container; container = open.pop()) {
    for (const key of Object.keys(container)) {
      const item = container[key as never] as unknown;
      if (typeof item === 'string' && item.startsWith(mark)) {
        setOwnProperty(container as Record<string, unknown>, key, BigInt(item.slice(mark.length)));
      } else if (typeof item === 'object' && item !== null) {
        open.push(item as Container);
      }
    }
  }
  return root[0];
}

type Container = unknown[] | Record<string, unknown>;
