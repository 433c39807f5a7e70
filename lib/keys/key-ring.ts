/**
 * The keys a server accepts, and whose they are.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { BenUdpError } from '../errors.js';
import { Sealer } from '../protocol/index.js';
import { fingerprint } from './index.js';

/**
 * Keys the names under which equal keys are recognised. A plain hash of a key would let somebody who sees it test guesses of a
 * weak key file.
 */
const IDENTITY_SECRET = randomBytes(32);

/** Keys that a log line names. */
const MAX_DESCRIBED = 8;

export interface NamedKey {
  /** The device the key belongs to; `undefined` for a key that is shared. */
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
   * @param previous a ring that this one replaces: keys in both stay the same objects, so that what was learnt about who
   * uses them holds.
   * @throws BenUdpError `BEN_KEY_DUPLICATE`: the key that verifies is the identity, so two can't share one.
   */
  constructor(keys: readonly NamedKey[], previous?: KeyRing) {
    const known = new Map(previous?.keys.map((each) => [each.digest, each]));
    const ring = new Map<string, RingKey>();
    for (const { device, key } of keys) {
      const digest = createHmac('sha256', IDENTITY_SECRET).update(key).digest('base64');
      const other = ring.get(digest);
      if (other) {
        throw new BenUdpError(
          'BEN_KEY_DUPLICATE',
          `${describeOwner(device)} and ${describeOwner(other.device)} have the same key: give each device its own, or ` +
            'configure it once',
        );
      }
      const same = known.get(digest);
      const isSame = same?.device === device;
      ring.set(
        digest,
        same && isSame
          ? same
          : { device, digest, fingerprint: fingerprint(key), sealer: same?.sealer ?? new Sealer(key) },
      );
    }
    this.keys = [...ring.values()];
    this.members = new Set(this.keys);
  }

  /** For logs: whose keys these are, by fingerprint. Of a large fleet the first few. */
  describe(): string {
    return describeSome(this.keys);
  }

  /** For logs: how these keys differ from those before. */
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
