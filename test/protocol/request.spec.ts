import { describe, expect, it } from 'vitest';
import { METADATA_KEY, formatRequest, parseRequest } from '../../lib/protocol/index.js';
import { pollutePrototype } from '../support/polluted-prototype.js';

describe('parseRequest', () => {
  it('distinguishes absent data from None', () => {
    expect(parseRequest("{'action': 'a'}").data).toBeUndefined();
    expect(parseRequest("{'action': 'a', 'data': None}").data).toBeNull();
  });

  it.each(['True', 'False', 'None', '0'])('checks only the presence of noreturn, even if it is %s', (value) => {
    expect(parseRequest(`{'action': 'a', 'noreturn': ${value}}`).noreturn).toBe(true);
  });

  it('expects a reply if noreturn is absent', () => {
    expect(parseRequest("{'action': 'a'}").noreturn).toBe(false);
  });

  it.each<[string, unknown]>([
    ["'echo'", 'echo'],
    ['1', 1],
    ["{'cmd': 'sum'}", { cmd: 'sum' }],
    ['None', null],
    ['(1, 2)', [1, 2]],
  ])('takes the action %s', (action, value) => {
    expect(parseRequest(`{'action': ${action}}`).action).toEqual(value);
  });

  it('has no action if the device sent none, not even an inherited one', () => {
    expect(parseRequest("{'data': 1}").action).toBeUndefined();
    expect(parseRequest("{'__proto__': {'action': 'a'}}").action).toBeUndefined();
  });

  it.each(['action', 'data', 'noreturn', 'meta'])('takes no "%s" that Object.prototype has', (name) => {
    pollutePrototype(name, { value: { a: 'b' } });
    const absent = { action: undefined, data: undefined, noreturn: false, metadata: undefined, droppedMetadata: 0 };
    expect(parseRequest('{}')).toEqual(absent);
    expect(parseRequest("{(1,): 'a tuple makes it a Map'}")).toEqual(absent);
  });

  it('reads a dict that has keys of other types too', () => {
    expect(parseRequest("{1: 2, 'action': 'a', 'data': 3, 'noreturn': True}")).toEqual({
      action: 'a',
      data: 3,
      noreturn: true,
      droppedMetadata: 0,
    });
  });

  it('takes the dict under meta as metadata, and leaves data alone', () => {
    const { metadata, data } = parseRequest("{'action': 'a', 'data': {'meta': 1}, 'meta': {'trace': 'x', 'n': 2}}");
    expect(metadata).toEqual({ trace: 'x' });
    expect(data).toEqual({ meta: 1 });
    expect(parseRequest("{1: 2, 'meta': {'trace': 'x'}}").metadata).toEqual({ trace: 'x' });
  });

  it.each(["{'action': 'a'}", "{'meta': None}", "{'meta': 'x'}", "{'meta': ['x']}", "{'meta': {1}}"])(
    'takes %s as a request without metadata',
    (text) => {
      expect(parseRequest(text).metadata).toBeUndefined();
    },
  );

  it('takes metadata whose keys are names of Object.prototype as plain values', () => {
    const { metadata } = parseRequest("{'meta': {'__proto__': 'x', 'constructor': 'y'}}");
    expect(Object.entries(metadata!)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    expect(Object.getPrototypeOf(metadata)).toBe(Object.prototype);
  });

  it.each(['[1]', "'echo'", 'None', '{1, 2}', "b'x'", '()'])('refuses %s, which is no dict', (text) => {
    expect(() => parseRequest(text)).toThrow(expect.objectContaining({ code: 'BEN_BAD_REQUEST' }));
  });
});

describe('formatRequest', () => {
  it('prints the text that a device would send', () => {
    expect(formatRequest({ action: 'echo', data: [1, 'two'] })).toBe("{'action': 'echo', 'data': [1, 'two']}");
    expect(formatRequest({ action: 'log', noreturn: true })).toBe("{'action': 'log', 'noreturn': True}");
    expect(formatRequest({ action: 'echo', data: null, noreturn: false })).toBe("{'action': 'echo', 'data': None}");
  });

  it.each([{ action: 'a', data: () => 1 }, { action: 'a', data: Symbol('x') }, { action: () => 1 }])(
    'refuses a function or symbol as a value',
    (request) => {
      expect(() => formatRequest(request)).toThrow(expect.objectContaining({ code: 'BEN_UNSERIALIZABLE' }));
    },
  );

  it('prints metadata under a key that upstream does not know', () => {
    expect(METADATA_KEY).toBe('meta');
    expect(formatRequest({ action: 'a', data: 1, metadata: { trace: "it's" }, noreturn: true })).toBe(
      `{'action': 'a', 'data': 1, 'meta': {'trace': "it's"}, 'noreturn': True}`,
    );
    expect(formatRequest({ action: 'a', metadata: undefined })).toBe("{'action': 'a'}");
  });
});
