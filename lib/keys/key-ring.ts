/**
 * The keys that a server accepts, and the device of each.
 */
import { BenUdpError } from '../errors.js';
import { createRandomBlockSource } from '../protocol/index.js';
import { type RandomFill, systemRandom } from '../random.js';
import { type BenUdpProtocolRule, ReadyKeys, RingKey, digestOf } from './ring-key.js';

/** Keys that one log line names. */
const MAX_DESCRIBED = 8;

/** Keys with one key id of protocol v2 that are tried. Two keys with one id are a chance of 1 in 2^64. */
export const KEYS_PER_ID = 4;

export interface NamedKey {
  /** The device of the key; `undefined` for a shared key. */
  readonly device: string | undefined;
  /** 32 bytes; not kept. */
  readonly key: Uint8Array;
  /** Default `any`. */
  readonly protocol?: BenUdpProtocolRule | undefined;
}

export class KeyRing {
  readonly keys: readonly RingKey[];
  private readonly members: ReadonlySet<RingKey>;
  private readonly readyKeys: ReadyKeys;
  /** The keys by their id of protocol v2. Made for the first datagram of that protocol. */
  private byV2Id: ReadonlyMap<string, readonly RingKey[]> | undefined;

  /**
   * @param keys each a key, or a member of `previous` that stays.
   * @param previous the ring that this one replaces. Keys in both stay the same objects, so known endpoints keep their key.
   * @throws BenUdpError `BEN_KEY_DUPLICATE`: the key that verifies is the identity, so two devices can't share one.
   */
  constructor(keys: ReadonlyArray<NamedKey | RingKey>, previous?: KeyRing, random: RandomFill = systemRandom) {
    this.readyKeys = previous?.readyKeys ?? new ReadyKeys(createRandomBlockSource(random));
    const known = new Map(previous?.keys.map((each) => [each.digest, each]));
    const ring = new Map<string, RingKey>();
    const rules = new Map<RingKey, BenUdpProtocolRule>();
    for (const each of keys) {
      const { device, protocol = 'any' } = each;
      const digest = each instanceof RingKey ? each.digest : digestOf(each.key);
      const other = ring.get(digest);
      if (other) {
        throw new BenUdpError(
          'BEN_KEY_DUPLICATE',
          `${describeOwner(device)} and ${describeOwner(other.device)} have the same key. Give each device its own key, or ` +
            'configure a shared key once',
        );
      }
      const same = each instanceof RingKey ? each : known.get(digest);
      const key = same?.device === device && same ? same : this.create(each as NamedKey, digest);
      ring.set(digest, key);
      rules.set(key, protocol);
    }
    // Last, because a ring that can't be made must change nothing.
    rules.forEach((protocol, key) => (key.protocol = protocol));
    this.keys = [...ring.values()];
    this.members = new Set(this.keys);
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

  /** The devices that have a key of their own. A device may have several. */
  deviceNames(): string[] {
    return this.keys.flatMap(({ device }) => device ?? []);
  }

  has(key: RingKey): boolean {
    return this.members.has(key);
  }

  /** The keys with an id of protocol v2, at most `KEYS_PER_ID`. */
  withV2Id(id: string): readonly RingKey[] {
    this.byV2Id ??= indexById(this.keys);
    return this.byV2Id.get(id) ?? NO_KEYS;
  }

  private create({ device, key }: NamedKey, digest: string): RingKey {
    return new RingKey(device, key, digest, this.readyKeys);
  }
}

const NO_KEYS: readonly RingKey[] = [];

function indexById(keys: readonly RingKey[]): Map<string, RingKey[]> {
  const index = new Map<string, RingKey[]>();
  for (const key of keys) {
    const same = index.get(key.v2Id);
    if (!same) {
      index.set(key.v2Id, [key]);
    } else if (same.length < KEYS_PER_ID) {
      same.push(key);
    }
  }
  return index;
}

function describeSome(keys: readonly RingKey[]): string {
  const some = keys
    .slice(0, MAX_DESCRIBED)
    .map(({ device, fingerprint: print }) => (device ? `${device} (key ${print})` : `key ${print}`))
    .join(', ');
  const rest = keys.length - MAX_DESCRIBED;
  return rest > 0 ? `${some} and ${rest} more` : some;
}

function describeOwner(device: string | undefined): string {
  return device === undefined ? 'the shared key' : `device "${device}"`;
}
