import { describe, expect, it } from 'vitest';
import { digestOf } from '../../lib/server/request-digest.js';

const digest = (text: string, noreturn = false) => digestOf({ text, noreturn });
const ONE = "{'action': 'a', 'data': {'x': 1, 'y': [1, 2]}, 'rid': 'r'}";

describe('digestOf', () => {
  it.each([
    ['keys in another order', "{'rid': 'r', 'data': {'y': [1, 2], 'x': 1}, 'action': 'a'}"],
    ['other white space and quotes', '{"action":"a","data":{"x":1,"y":[1,2]},"rid":"r"}'],
    ['a tuple and floats for a list and ints', "{'action': 'a', 'data': {'x': 1.0, 'y': (1, 2)}, 'rid': 'r'}"],
    ['metadata', "{'action': 'a', 'data': {'x': 1, 'y': [1, 2]}, 'rid': 'r', 'meta': {'trace': '1'}}"],
  ])('is the same for %s', (_name, text) => {
    expect(digest(text)).toBe(digest(ONE));
  });

  it.each([
    ['action', "{'action': 'b', 'data': {'x': 1, 'y': [1, 2]}, 'rid': 'r'}"],
    ['value', "{'action': 'a', 'data': {'x': 2, 'y': [1, 2]}, 'rid': 'r'}"],
    ['type', "{'action': 'a', 'data': {'x': '1', 'y': [1, 2]}, 'rid': 'r'}"],
    ['order of a list', "{'action': 'a', 'data': {'x': 1, 'y': [2, 1]}, 'rid': 'r'}"],
    ['key of the application', "{'action': 'a', 'data': {'x': 1, 'y': [1, 2]}, 'rid': 'r', 'zone': 1}"],
    ['missing data', "{'action': 'a', 'rid': 'r'}"],
    ['structure', `{'action': 'a', 'data': '{"x":1,"y":[1,2]}', 'rid': 'r'}`],
  ])('differs for another %s', (_name, text) => {
    expect(digest(text)).not.toBe(digest(ONE));
  });

  it('tells events from requests, whether the device says so by a flag or by a key', () => {
    expect(digest(ONE, true)).not.toBe(digest(ONE));
    expect(digest(ONE.replace('{', "{'noreturn': True, "), true)).toBe(digest(ONE, true));
  });

  it('reads every type of value', () => {
    const values = [
      'None',
      'True',
      '1',
      "'1'",
      "b'1'",
      '12345678901234567890',
      "{'1'}",
      '{(1, 2): 3}',
      '[]',
      '{}',
      'inf',
    ];
    const digests = values.map((value) => digest(`{'data': ${value}}`));
    expect(new Set(digests).size).toBe(values.length);
    expect(digest("{'data': {(1, 2): {'a', 'b'}, b'k': 1}}")).toBe(digest("{'data': {b'k': 1, (1, 2): {'b', 'a'}}}"));
  });
});
