/**
 * The keys a server accepts, and whose they are.
 */
import { BenUdpError } from '../ben-udp.errors.js';
import { type RandomBlockSource, Sealer, fingerprint } from '../protocol/index.js';

export interface NamedKey {
  /** The device the key belongs to; `undefined` for a key that is shared. */
  readonly device: string | undefined;
  /** 32 bytes. */
  readonly key: Uint8Array;
}

export interface RingKey {
  readonly device: string | undefined;
  /** Names the key in logs. */
  readonly fingerprint: string;
  readonly sealer: Sealer;
}

export class KeyRing {
  readonly keys: readonly RingKey[];

  /** @throws BenUdpError `BEN_KEY_DUPLICATE`: the key that verifies is the identity, so two can't share one. */
  constructor(keys: readonly NamedKey[], randomBlock?: RandomBlockSource) {
    const owners = new Map<string, string>();
    this.keys = keys.map(({ device, key }) => {
      const hex = Buffer.from(key).toString('hex');
      const owner = device === undefined ? 'the shared key' : `device "${device}"`;
      const other = owners.get(hex);
      if (other !== undefined) {
        throw new BenUdpError(
          'BEN_KEY_DUPLICATE',
          `${owner} and ${other} have the same key: give each device its own, or configure it once`,
        );
      }
      owners.set(hex, owner);
      return { device, fingerprint: fingerprint(key), sealer: new Sealer(key, randomBlock) };
    });
  }

  /** For logs: whose keys these are, by fingerprint. */
  describe(): string {
    return this.keys
      .map(({ device, fingerprint: print }) => (device ? `${device} (key ${print})` : `key ${print}`))
      .join(', ');
  }

  /** All keys, `first` before the others where it is still in the ring. */
  *startingWith(first: RingKey | undefined): Iterable<RingKey> {
    if (first && this.keys.includes(first)) {
      yield first;
    }
    for (const key of this.keys) {
      if (key !== first) {
        yield key;
      }
    }
  }
}
