/**
 * The keys that a server accepts, and the device of each.
 */
import { timingSafeEqual } from 'node:crypto';
import { BenUdpError } from '../errors.js';
import { printableName } from '../printable.js';
import { createRandomBlockSource } from '../protocol/index.js';
import { keyIdOf } from '../protocol/v2/index.js';
import { type RandomFill, systemRandom } from '../random.js';
import { type BenUdpProtocolRule, ReadyKeys, RingKey } from './ring-key.js';

/** Keys that one log line names. */
const MAX_DESCRIBED = 8;

/** Keys that are tried for one key id of protocol v2. Two keys have the same id with a chance of 1 in 2^64. */
export const KEYS_PER_ID = 4;

export interface NamedKey {
  /** The device of the key; `undefined` for a shared key. */
  readonly device: string | undefined;
  /** 32 bytes; not kept. */
  readonly key: Uint8Array;
  /** Default `any`. */
  readonly protocol?: BenUdpProtocolRule | undefined;
  /** Whether several boards have the key although it has a name. Default false. A key without a name is always shared. */
  readonly shared?: boolean | undefined;
  /** The key id of protocol v2, as Latin-1. Computed if it is absent. */
  v2Id?: string | undefined;
}

export class KeyRing {
  readonly keys: readonly RingKey[];
  private readonly members: ReadonlySet<RingKey>;
  private readonly readyKeys: ReadyKeys;
  /**
   * The keys by their id of protocol v2. Made at once: otherwise the first datagram of a stranger would hold the event loop for as long as
   * that takes.
   */
  private readonly byV2Id = new Map<string, RingKey>();
  /** Keys with the id of another key. */
  private readonly sameId: readonly RingKey[];

  /**
   * @param keys each a key, or a member of `previous` that stays.
   * @param previous the ring that this one replaces. Keys in both stay the same objects, so known endpoints keep their key.
   * @throws BenUdpError `BEN_KEY_DUPLICATE`: the key that verifies is the identity, so two devices can't share one.
   */
  constructor(keys: ReadonlyArray<NamedKey | RingKey>, previous?: KeyRing, random: RandomFill = systemRandom) {
    this.readyKeys = previous?.readyKeys ?? new ReadyKeys(createRandomBlockSource(random));
    const known = previous?.byV2Id ?? NO_RING;
    const ids = keys.map(idOf);
    // First, because a ring that can't be made must change nothing.
    const [copy] = copiesIn(keys, ids, known).values();
    if (copy) {
      throw copy;
    }
    this.keys = keys.map((each, index) => {
      const key = each instanceof RingKey ? each : this.findOrCreate(each, ids[index]!, known);
      key.protocol = each.protocol ?? 'any';
      key.shared = each.device === undefined || each.shared === true;
      return key;
    });
    this.members = new Set(this.keys);
    this.keys.forEach((key, index) => this.byV2Id.set(ids[index]!, key));
    // Usually none.
    this.sameId = this.byV2Id.size === ids.length ? [] : this.keys.filter((key) => this.byV2Id.get(key.v2Id) !== key);
  }

  /** Overwrites the keys that are not in the ring that has replaced this one. */
  retire(next: KeyRing): void {
    this.keys.filter((key) => !next.has(key)).forEach((key) => key.leave());
  }

  /** For logs: the owners of these keys and their fingerprints, at most the first eight. */
  describe(): string {
    return describeSome(this.keys);
  }

  /** For logs: how these keys differ from the previous ones. */
  describeChange(previous: KeyRing): string {
    const added = this.keys.filter((key) => !previous.has(key));
    const removed = previous.keys.filter((key) => !this.has(key));
    const changes = [
      ...(added.length > 0 ? [`added ${describeSome(added)}`] : []),
      ...(removed.length > 0 ? [`removed ${describeSome(removed)}`] : []),
    ];
    return `${this.keys.length} in all, ${changes.join('; ') || 'none added or removed'}`;
  }

  /** The devices that have their own key. A device may have several. */
  deviceNames(): string[] {
    return this.keys.flatMap(({ device }) => device ?? []);
  }

  has(key: RingKey): boolean {
    return this.members.has(key);
  }

  /** The keys with an id of protocol v2, at most `KEYS_PER_ID`. A key that has left this ring is not found. */
  withV2Id(id: string): readonly RingKey[] {
    const first = this.byV2Id.get(id);
    const keys = first ? [first, ...this.sameId.filter(({ v2Id }) => v2Id === id)] : [];
    return keys.filter(({ hasLeft }) => !hasLeft).slice(0, KEYS_PER_ID);
  }

  /** As `findCopies`: a key of this ring is the original. */
  findCopies(keys: ReadonlyArray<NamedKey | RingKey>): Map<number, BenUdpError> {
    return copiesIn(keys, keys.map(idOf), this.byV2Id);
  }

  private findOrCreate({ device, key }: NamedKey, id: string, known: ReadonlyMap<string, RingKey>): RingKey {
    const same = known.get(id);
    return same?.device === device && same?.is(key) ? same : new RingKey(device, key, this.readyKeys, id);
  }
}

const NO_RING: ReadonlyMap<string, RingKey> = new Map();

/**
 * Finds equal keys by their ids. A map of keys would need strings of them, which can't be overwritten.
 *
 * @param previous a key that was in use is the original.
 * @returns `BEN_KEY_DUPLICATE` for the index of each copy.
 */
export function findCopies(keys: ReadonlyArray<NamedKey | RingKey>, previous?: KeyRing): Map<number, BenUdpError> {
  return previous ? previous.findCopies(keys) : copiesIn(keys, keys.map(idOf), NO_RING);
}

function copiesIn(
  keys: ReadonlyArray<NamedKey | RingKey>,
  ids: readonly string[],
  known: ReadonlyMap<string, RingKey>,
): Map<number, BenUdpError> {
  const originals = new Map<string, number>();
  const copies = new Map<number, BenUdpError>();
  for (const [index, id] of ids.entries()) {
    const earlier = originals.get(id);
    if (earlier === undefined || !isSame(keys[index]!, keys[earlier]!)) {
      originals.set(id, index);
      continue;
    }
    const inUse = known.get(id);
    const wasInUse = inUse !== undefined && inUse.device === keys[index]!.device;
    const [original, copy] = wasInUse ? [index, earlier] : [earlier, index];
    originals.set(id, original);
    copies.set(
      copy,
      new BenUdpError(
        'BEN_KEY_DUPLICATE',
        `${describeOwner(keys[copy]!.device)} and ${describeOwner(keys[original]!.device)} have the same key. Give each device its ` +
          'own key, or configure a shared key once',
      ),
    );
  }
  return copies;
}

function idOf(key: NamedKey | RingKey): string {
  return key.v2Id ?? keyIdOf((key as NamedKey).key);
}

function isSame(one: NamedKey | RingKey, other: NamedKey | RingKey): boolean {
  if (one instanceof RingKey) {
    return other instanceof RingKey ? one === other : one.is(other.key);
  }
  return other instanceof RingKey ? other.is(one.key) : timingSafeEqual(one.key, other.key);
}

function describeSome(keys: readonly RingKey[]): string {
  const some = keys
    .slice(0, MAX_DESCRIBED)
    .map(({ device, fingerprint: print }) => (device ? `${printableName(device)} (key ${print})` : `key ${print}`))
    .join(', ');
  const rest = keys.length - MAX_DESCRIBED;
  return rest > 0 ? `${some} and ${rest} more` : some;
}

function describeOwner(device: string | undefined): string {
  return device === undefined ? 'the shared key' : `device "${printableName(device)}"`;
}
