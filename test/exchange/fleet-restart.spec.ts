/** A fleet with a key for each board comes back after a restart, in counts that do not depend on the machine. */
import { describe, expect, it, vi } from 'vitest';
import type { Decision, ServerExchange } from '../../lib/exchange/index.js';
import { KeyRing, RingKey } from '../../lib/keys/index.js';
import { PureDevice, createServer, remoteOf } from '../support/pure-device.js';

/** More than keep their ciphers. */
const BOARDS = 2500;
const MINUTE_MS = 60_000;
const NORETURN = "{'action': 'report', 'noreturn': True}";

const keys = Array.from({ length: BOARDS }, (_, index) => ({
  device: `board-${index}`,
  key: Buffer.alloc(32, `key ${index};`),
}));
const remotes = keys.map((_, index) => remoteOf(`10.0.${index >> 6}.${1 + (index & 63)}`));

/** Every board reports once in the minute that begins at `from`. */
function reportAll(server: ServerExchange, from: number): { accepted: number; keysTried: number } {
  const tried = vi.spyOn(RingKey.prototype, 'openBlock');
  let accepted = 0;
  keys.forEach(({ key }, index) => {
    const now = from + (index * MINUTE_MS) / BOARDS;
    const decision: Decision = new PureDevice(server, remotes[index], key).ask(now, NORETURN);
    if (decision.kind === 'request') {
      accepted++;
      server.finish(decision.pending, now);
    }
  });
  const keysTried = tried.mock.calls.length;
  tried.mockRestore();
  return { accepted, keysTried };
}

describe('a fleet with a key for each board', () => {
  it('is heard in the first minute after a restart, with one attempt for each board, as when it is settled', () => {
    const ring = new KeyRing(keys);
    const restart = () => {
      const server = createServer({ maxEndpoints: 65_536 });
      server.useKeys(ring);
      return server;
    };
    const first = restart();
    ring.keys.forEach((key, index) => first.remember({ remote: remotes[index]!, key, heardAt: -MINUTE_MS }));
    reportAll(first, 0);
    const settled = reportAll(first, MINUTE_MS);
    const second = restart();
    for (const { heardAt, ...board } of first.knownBoards()) {
      second.remember({ ...board, heardAt: heardAt - 2 * MINUTE_MS });
    }
    const restarted = reportAll(second, 0);
    expect(settled).toEqual({ accepted: BOARDS, keysTried: BOARDS });
    expect(restarted).toEqual(settled);
  });
});
