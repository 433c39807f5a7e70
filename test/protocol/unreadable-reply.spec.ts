import { describe, expect, it } from 'vitest';
import { BenUdpProtocolError } from '../../lib/errors.js';
import { MIN_BUFFER_SIZE } from '../../lib/constants.js';
import { formatUnreadableReply, parseReply, readReply, sealedLength } from '../../lib/protocol/index.js';

const LONGEST = new BenUdpProtocolError('BEN_TEXT_UNEXPECTED_CHARACTER', 'unexpected character', 65_535);
const SHORTEST = new BenUdpProtocolError('BEN_BAD_REQUEST', 'no dict');

describe('formatUnreadableReply', () => {
  it('names the code and the position', () => {
    expect(readReply(formatUnreadableReply(LONGEST, 'null'))).toEqual({
      error: {
        status: 'error',
        message: "the request can't be read: BEN_TEXT_UNEXPECTED_CHARACTER",
        code: 'BEN_TEXT_UNEXPECTED_CHARACTER',
        position: 65_535,
      },
    });
    expect(parseReply(formatUnreadableReply(SHORTEST, 'null'))).toBeNull();
    expect(parseReply(formatUnreadableReply(SHORTEST, 'text'))).toContain('BEN_BAD_REQUEST');
  });

  it('has one length for every error, which fits the smallest buffer', () => {
    const lengths = [LONGEST, SHORTEST].flatMap((error) =>
      (['null', 'text'] as const).map((form) => Buffer.byteLength(formatUnreadableReply(error, form))),
    );
    expect(new Set(lengths).size).toBe(1);
    expect(sealedLength(lengths[0]!)).toBeLessThanOrEqual(MIN_BUFFER_SIZE);
  });
});
