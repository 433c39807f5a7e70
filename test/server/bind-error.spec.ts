import { describe, expect, it } from 'vitest';
import { toBindError } from '../../lib/server/index.js';

const OPTIONS = { host: '192.0.2.1', port: 80 };

function explain(code: string, syscall = 'bind', isWorker = false) {
  return toBindError(Object.assign(new Error(`${syscall} ${code}`), { code, syscall }), OPTIONS, isWorker);
}

describe('toBindError', () => {
  it.each([
    ['EADDRINUSE', 'BEN_ADDRESS_IN_USE', /^192\.0\.2\.1:80 is in use\nStop the other process.*ss -lunp.*lsof.*netstat/],
    ['EADDRNOTAVAIL', 'BEN_SOCKET', /^192\.0\.2\.1 is not an address of this machine\n.*npx nestjs-ben-udp doctor/],
    ['EACCES', 'BEN_SOCKET', /^this user may not bind 192\.0\.2\.1:80\nPorts below 1024/],
    ['EINVAL', 'BEN_SOCKET', /could not be bound: bind EINVAL\n.*npx nestjs-ben-udp doctor/],
  ])('explains %s in one line, and names the next step in a second one', (code, expected, message) => {
    const error = explain(code);
    expect(error.code).toBe(expected);
    expect(error.message).toMatch(message);
    expect(error.message.split('\n')).toHaveLength(2);
    expect(error.cause).toMatchObject({ code });
  });

  it('explains an unknown host', () => {
    expect(explain('ENOTFOUND', 'getaddrinfo')).toMatchObject({
      code: 'BEN_HOST_UNKNOWN',
      message: expect.stringMatching(/is not known \(ENOTFOUND\)\nBind to 0\.0\.0\.0 or to an address/) as string,
    });
  });

  it('advises a cluster worker about processes', () => {
    expect(explain('EADDRINUSE', 'bind', true).message).toContain('node:cluster worker');
  });
});
