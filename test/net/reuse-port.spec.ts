import { describe, expect, it } from 'vitest';
import { requireReusePort, supportsReusePort } from '../../lib/net/index.js';

describe('supportsReusePort', () => {
  it.each([
    ['20.19.0', 'linux', false],
    ['22.11.0', 'linux', false],
    ['22.12.0', 'linux', true],
    ['23.0.0', 'linux', false],
    ['23.1.0', 'linux', true],
    ['24.0.0', 'linux', true],
    ['24.0.0', 'darwin', false],
    ['24.0.0', 'win32', false],
  ])('on Node %s, %s: %s', (version, platform, expected) => {
    expect(supportsReusePort(version, platform)).toBe(expected);
  });
});

describe('requireReusePort', () => {
  it('names the versions and the next step', () => {
    expect(() => requireReusePort('22.11.0', 'linux')).toThrow(
      expect.objectContaining({
        code: 'BEN_REUSE_PORT_UNSUPPORTED',
        message: expect.stringMatching(
          /Node 22\.12 or later, and this is Node 22\.11\.0 on linux\nUpdate Node/,
        ) as string,
      }),
    );
    expect(() => requireReusePort('22.12.0', 'linux')).not.toThrow();
  });
});
