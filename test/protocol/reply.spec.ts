import { describe, expect, it } from 'vitest';
import { formatErrorReply, formatReply, parseReply, readReply } from '../../lib/protocol/index.js';

describe('formatReply', () => {
  it('puts the value under data', () => {
    expect(formatReply({ celsius: 21.5 }, 4096)).toBe('{"data":{"celsius":21.5}}');
  });

  it('answers null for undefined, as upstream does for None', () => {
    expect(formatReply(undefined, 4096)).toBe('{"data":null}');
  });

  it('lets a sealed reply fill bufferSize, and refuses one byte more of text', () => {
    // {"data":"…"} is 11 characters more than the text; 4095 bytes are padded to 4096, 4096 to 4112.
    expect(formatReply('x'.repeat(4095 - 11), 4096)).toHaveLength(4095);
    expect(() => formatReply('x'.repeat(4096 - 11), 4096)).toThrow(
      expect.objectContaining({
        code: 'BEN_REPLY_TOO_LARGE',
        message: expect.stringContaining('4112'),
      }),
    );
  });

  it('counts bytes of UTF-8', () => {
    expect(() => formatReply('€'.repeat(1400), 4096)).toThrow(expect.objectContaining({ code: 'BEN_REPLY_TOO_LARGE' }));
  });
});

describe('formatErrorReply', () => {
  it('has no data that a device could take for an answer', () => {
    expect(formatErrorReply({ status: 'error', message: 'no' }, 'null', 4096)).toBe(
      '{"data":null,"error":{"status":"error","message":"no"}}',
    );
    expect(formatErrorReply('no', 'text', 4096)).toBe('{"error":"no"}');
  });
});

describe('parseReply', () => {
  it.each<[string, unknown]>([
    ['{"data": {"a": [1, 2.5, null, true]}}', { a: [1, 2.5, null, true] }],
    ['{"data": null}', null],
    ['{"data": 9007199254740991}', 9007199254740991],
    ['{"data": 9007199254740993}', 9007199254740993n],
    [
      '{"data": [-1180591620717411303424, "1180591620717411303424", "int:1"]}',
      [-(2n ** 70n), '1180591620717411303424', 'int:1'],
    ],
    ['{"data": [12345678901234567890, "\\u0069nt:1", "int::"]}', [12345678901234567890n, 'int:1', 'int::']],
    ['{"data": {"__proto__": 12345678901234567890}}', Object.fromEntries([['__proto__', 12345678901234567890n]])],
    ['{"data": 12345678901234567890.5}', 12345678901234567890.5],
    ['{"data": 12345678901234567890e2}', 12345678901234567890e2],
    ['{"data": [0.30000000000000004, -1.2345678901234567e-7]}', [0.30000000000000004, -1.2345678901234567e-7]],
    ['{"data": [0.30000000000000004, 9007199254740993]}', [0.30000000000000004, 9007199254740993n]],
    ['{"data": "say \\"12345678901234567890\\""}', 'say "12345678901234567890"'],
    ['{"data": {"12345678901234567890": 12345678901234567890}}', { '12345678901234567890': 12345678901234567890n }],
  ])('reads %s', (text, value) => {
    expect(parseReply(text)).toEqual(value);
  });

  it.each(['', 'plain text', '{"error": 1}', '[1]', '"data"', 'null', '{"data": }'])(
    'returns the text %j, which has no data',
    (text) => {
      expect(parseReply(text)).toBe(text);
    },
  );
});

describe('readReply', () => {
  it.each(['null', 'text'] as const)('takes an error reply in its form "%s" as the error', (form) => {
    const error = { status: 'error', message: 'no' };
    expect(readReply(formatErrorReply(error, form, 4096))).toEqual({ error });
    expect(readReply(formatErrorReply('no', form, 4096))).toEqual({ error: 'no' });
    expect(readReply(formatErrorReply(undefined, form, 4096))).toEqual({ error: null });
  });

  it.each<[string, unknown]>([
    ['{"data": null}', null],
    ['{"data": 9007199254740993}', 9007199254740993n],
    ['{"data": {"error": 1}}', { error: 1 }],
    ['{"data": false, "error": 1}', false],
    ['{"errors": 1}', '{"errors": 1}'],
    ['plain text', 'plain text'],
    ['[1]', '[1]'],
    ['', ''],
  ])('takes %s as an answer, as a device does', (text, data) => {
    expect(readReply(text)).toEqual({ data });
  });
});
