import { describe, expect, it } from 'vitest';
import type { KnownBoard } from '../../lib/exchange/index.js';
import { KeyRing } from '../../lib/keys/index.js';
import {
  type BenUdpKnownBoard,
  type BenUdpKnownBoardStore,
  KnownBoardKeeper,
  SAVE_INTERVAL_MS,
  STORE_TIMEOUT_MS,
} from '../../lib/server/index.js';
import { FakePlatform } from '../support/fake-platform.js';
import { KEY, OTHER_KEY, remoteOf } from '../support/pure-device.js';

const ring = new KeyRing([
  { device: 'kitchen', key: KEY },
  { device: 'hall', key: OTHER_KEY },
]);
const [kitchen, hall] = ring.keys as [KeyRing['keys'][0], KeyRing['keys'][0]];
const WALL_CLOCK = 1_764_170_000_000;

function create(store: Partial<BenUdpKnownBoardStore>, known: readonly KnownBoard[] = []) {
  const platform = new (class extends FakePlatform {
    override wallClock = () => WALL_CLOCK + this.now();
  })();
  const remembered: KnownBoard[] = [];
  const saved: BenUdpKnownBoard[][] = [];
  const failures: unknown[] = [];
  const keeper = new KnownBoardKeeper(
    { remember: (board) => void remembered.push(board), knownBoards: () => known },
    { load: async () => [], save: async (boards) => void saved.push([...boards]), ...store },
    platform,
    (...args) => failures.push(args),
  );
  return { platform, keeper, remembered, saved, failures };
}

const boardOf = (changes: Partial<BenUdpKnownBoard> = {}): BenUdpKnownBoard => ({
  address: '10.0.0.7',
  port: 8585,
  fingerprint: kitchen.boardFingerprint,
  lastSeenAt: WALL_CLOCK - 5000,
  ...changes,
});

/** Lets promises that are settled run on. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('KnownBoardKeeper', () => {
  it('gives the exchange the boards of its keys, the latest first, on its own clock', async () => {
    const boards = [
      boardOf(),
      boardOf({ address: '2001:db8::1', fingerprint: hall.boardFingerprint, lastSeenAt: WALL_CLOCK - 1000 }),
      boardOf({ address: '10.0.0.8', fingerprint: '0123456789abcdef' }),
    ];
    const { keeper, remembered } = create({ load: async () => boards });
    await keeper.load(ring);
    expect(remembered).toEqual([
      { remote: remoteOf('2001:db8::1'), key: hall, heardAt: -1000 },
      { remote: remoteOf('10.0.0.7'), key: kitchen, heardAt: -5000 },
    ]);
  });

  it('takes a time in the future for now, and forgets boards after 31 days', async () => {
    const day = 86_400_000;
    const times = [WALL_CLOCK + day, WALL_CLOCK - 31 * day + 1, WALL_CLOCK - 31 * day];
    const { keeper, remembered } = create({ load: async () => times.map((lastSeenAt) => boardOf({ lastSeenAt })) });
    await keeper.load(ring);
    expect(remembered.map(({ heardAt }) => heardAt)).toEqual([0, -31 * day + 1].map((each) => each + 0));
  });

  it('saves once a minute, and when it closes', async () => {
    const { keeper, platform, saved } = create({}, [{ remote: remoteOf('10.0.0.7'), key: kitchen, heardAt: -5000 }]);
    keeper.start();
    platform.advance(59_999);
    expect(saved).toEqual([]);
    platform.advance(1);
    await settle();
    expect(saved).toEqual([[boardOf()]]);
    platform.advance(SAVE_INTERVAL_MS);
    await settle();
    await keeper.close();
    expect(saved).toHaveLength(3);
    expect(platform.pendingTimers).toBe(0);
  });

  it('saves no key, and no bytes of one', async () => {
    const { keeper, saved } = create({}, [{ remote: remoteOf('10.0.0.7'), key: kitchen, heardAt: 0 }]);
    await keeper.close();
    expect(Object.keys(saved[0]![0]!)).toEqual(['address', 'port', 'fingerprint', 'lastSeenAt']);
    expect(JSON.stringify(saved)).not.toContain(KEY.toString('hex').slice(0, 16));
    expect(saved[0]![0]!.fingerprint).toMatch(/^[0-9a-f]{16}$/);
  });

  it.each(['load', 'save'] as const)('reports a store that fails to %s, and goes on', async (action) => {
    const error = new Error('no connection');
    const { keeper, failures } = create({ [action]: () => Promise.reject(error) });
    await keeper.load(ring);
    await keeper.close();
    expect(failures).toEqual([[action, error]]);
  });

  it('waits for a store that does not answer for 5 s, and no longer', async () => {
    const { keeper, platform, failures } = create({ load: () => new Promise(() => undefined) });
    const loading = keeper.load(ring);
    platform.advance(STORE_TIMEOUT_MS - 1);
    await settle();
    expect(failures).toEqual([]);
    platform.advance(1);
    await loading;
    expect(failures).toMatchObject([['load', { message: expect.stringContaining('5000 ms') }]]);
  });

  it('closes within 5 s, although a save has just begun', async () => {
    const { keeper, platform, failures } = create({ save: () => new Promise(() => undefined) });
    keeper.start();
    platform.advance(SAVE_INTERVAL_MS);
    await settle();
    const closing = keeper.close();
    await settle();
    platform.advance(STORE_TIMEOUT_MS);
    await settle();
    expect(platform.pendingTimers).toBe(0);
    await closing;
    expect(failures).toMatchObject([
      ['save', {}],
      ['save', {}],
    ]);
  });

  it('reports what a store gives instead of boards', async () => {
    const { keeper, failures } = create({ load: async () => 7 as unknown as BenUdpKnownBoard[] });
    await keeper.load(ring);
    expect(failures).toMatchObject([['load', expect.any(TypeError)]]);
  });
});
