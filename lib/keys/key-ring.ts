/**
 * The keys that a server accepts, and the device of each.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { BenUdpError } from '../errors.js';
import { Sealer, createRandomBlockSource } from '../protocol/index.js';
import { type RandomFill, systemRandom } from '../random.js';
import { fingerprint } from './derive-key.js';

/**
 * Keys the digests by which equal keys are recognised. With a plain hash, an attacker who sees a digest could test guesses of a weak
 * key file.
 */
const DIGEST_SECRET = randomBytes(32);

/** Keys that one log line names. */
const MAX_DESCRIBED = 8;

export interface NamedKey {
  /** The device of the key; `undefined` for a shared key. */
  readonly device: string | undefined;
  /** 32 bytes; not kept. */
  readonly key: Uint8Array;
}

export interface RingKey {
  readonly device: string | undefined;
  /** Names the key in logs. */
  readonly fingerprint: string;
  readonly sealer: Sealer;
  /** Tells keys apart without keeping them. */
  readonly digest: string;
}

export class KeyRing {
  readonly keys: readonly RingKey[];
  private readonly members: ReadonlySet<RingKey>;

  /**
   * @param previous the ring that this one replaces. Keys in both stay the same objects, so known endpoints keep their key.
   * @throws BenUdpError `BEN_KEY_DUPLICATE`: the key that verifies is the identity, so two devices can't share one.
   */
  constructor(keys: readonly NamedKey[], previous?: KeyRing, random: RandomFill = systemRandom) {
    const known = new Map(previous?.keys.map((each) => [each.digest, each]));
    const ring = new Map<string, RingKey>();
    for (const { device, key } of keys) {
      const digest = createHmac('sha256', DIGEST_SECRET).update(key).digest('base64');
      const other = ring.get(digest);
      if (other) {
        throw new BenUdpError(
          'BEN_KEY_DUPLICATE',
          `${describeOwner(device)} and ${describeOwner(other.device)} have the same key. Give each device its own key, or ` +
            'configure a shared key once',
        );
      }
      const same = known.get(digest);
      const sealer = same?.sealer ?? new Sealer(key, createRandomBlockSource(random));
      ring.set(
        digest,
        same?.device === device && same ? same : { device, digest, fingerprint: fingerprint(key), sealer },
      );
    }
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

  has(key: RingKey): boolean {
    return this.members.has(key);
  }
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
