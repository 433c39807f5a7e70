/** The tables of options, counters and error codes have exactly the members of the library, and the real defaults. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ATTEMPTS, MAX_BACKOFF, JITTER, RTO_MS } from '../../lib/exchange/v2/client-exchange.js';
import { COOKIE_S } from '../../lib/exchange/v2/cookies.js';
import { MAX_RESENDS, REPLY_MS } from '../../lib/exchange/v2/kept-replies.js';
import { DRIFT, LATE_MS } from '../../lib/exchange/v2/session.js';
import { MAX_SESSIONS, QUIET_MS, SESSIONS_OF_OTHERS, SESSIONS_PER_KEY } from '../../lib/exchange/v2/session-table.js';
import { holderQuota } from '../../lib/exchange/limits/holder.js';
import { KEYS_PER_ID } from '../../lib/keys/key-ring.js';
import { MAX_CTR, SESSION_MS } from '../../lib/protocol/v2/index.js';
import { resolveClientOptions } from '../../lib/nest/ben-udp.client-options.js';
import { resolveBoardOptions } from '../../lib/testing/virtual-board-options.js';
import { formatDefault, readMembers } from './interfaces.js';
import { readTable, root } from './pages.js';

/** The names in the first cells. One row may have several. */
const namesIn = (rows: readonly string[][]) =>
  rows.flatMap(([first]) => Array.from(first!.matchAll(/`(\w+)`/g), ([, name]) => name!));

const membersOf = (name: string) => readMembers(name).map((member) => member.name);

/** The error codes that stand as strings in the sources of a layer. */
function codesOf(layer: string): string[] {
  const folder = join(root, 'lib', layer);
  const codes = readdirSync(folder).flatMap((file) =>
    Array.from(readFileSync(join(folder, file), 'utf8').matchAll(/'(BEN_\w+)'/g), ([, code]) => code!),
  );
  return [...new Set(codes)].toSorted();
}

const key = new Uint8Array(32);
const { client, call, keys, protocol } = resolveClientOptions({ key });
const clientDefaults: Readonly<Record<string, unknown>> = {
  ...client,
  ...call,
  protocol,
  keyFile: 'key.sec',
  keyFileChecks: keys.keyFileChecks,
};

describe('docs/client.md', () => {
  const rows = readTable('docs/client.md', 'Options');

  it('has every option of the client', () => {
    expect(namesIn(rows).toSorted()).toEqual(membersOf('BenUdpClientOptions').toSorted());
  });

  it('has the default of each option', () => {
    for (const [name, cell] of rows) {
      expect(cell, name).toBe(formatDefault(clientDefaults[namesIn([[name!]])[0]!]));
    }
  });

  it('has every code of a failed request', () => {
    const codes = codesOf('client').filter((code) => code !== 'BEN_HOST_UNKNOWN');
    expect(codes.length).toBeGreaterThan(5);
    expect(namesIn(readTable('docs/client.md', 'Errors')).toSorted()).toEqual(codes);
  });
});

describe('docs/testing.md', () => {
  const rows = readTable('docs/testing.md', 'Options');

  it('has every option of the virtual board', () => {
    expect(namesIn(rows).toSorted()).toEqual(membersOf('VirtualBoardOptions').toSorted());
  });

  it('has the default of each option that is a number or a text', () => {
    const defaults = resolveBoardOptions({ key, port: 8585 });
    const optional = rows.filter(([, , cell]) => cell!.startsWith('`'));
    expect(optional.length).toBeGreaterThan(5);
    for (const [name, , cell] of optional) {
      const option = namesIn([[name!]])[0] as keyof typeof defaults;
      expect(/^`[^`]+`/.exec(cell!)![0], name).toBe(formatDefault(defaults[option]));
    }
  });

  it('has every fault', () => {
    const faults = namesIn(readTable('docs/testing.md', 'Faults'));
    expect(faults.toSorted()).toEqual(membersOf('VirtualBoardFaults').toSorted());
  });

  it('has every code that a board throws', () => {
    const codes = namesIn(readTable('docs/testing.md', 'Behaviour of the board')).filter((name) =>
      name.startsWith('BEN_'),
    );
    expect(codes.toSorted()).toEqual(codesOf('testing'));
  });
});

describe('docs/operating.md', () => {
  it('has every counter of the transport', () => {
    const counters = namesIn(readTable('docs/operating.md', 'Counters'));
    expect(counters.toSorted()).toEqual(membersOf('BenUdpStats').toSorted());
  });
});

describe('docs/protocol-v2.md', () => {
  it('has the value of each constant', () => {
    const values = readTable('docs/protocol-v2.md', 'Constants').map(([name, value]) => [
      name!.slice(1, -1),
      value!
        .replaceAll(/ |m?s$/g, '')
        .replace('2^30−1', '1073741823')
        .replace('±25%', '0.25'),
    ]);
    expect(Object.fromEntries(values.map(([name, value]) => [name, Number(value)]))).toEqual({
      COOKIE_S,
      QUIET_MS,
      LATE_MS,
      DRIFT_PPM: DRIFT * 1e6,
      SESSION_MS,
      MAX_CTR,
      KEYS_PER_ID,
      SESSIONS_PER_KEY,
      SESSIONS_OF_OTHERS,
      SESSIONS_PER_ADDRESS: holderQuota(MAX_SESSIONS),
      MAX_SESSIONS,
      REPLY_MS,
      MAX_RESENDS,
      ATTEMPTS,
      RTO_MS,
      MAX_RTO_MS: RTO_MS * MAX_BACKOFF,
      JITTER,
    });
  });
});
