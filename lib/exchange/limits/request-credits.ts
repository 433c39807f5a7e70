/**
 * The endpoints whose hello was answered. Each answer pays for a few requests that fail, before the limits of their address count them.
 * So junk from a spoofed address can't take the requests of its other ports. An attacker who also forges the hellos reaches the limits
 * of hellos, so those limits bound the work.
 */
import { type RandomFill, systemRandom } from '../../random.js';
import type { Sender } from '../remote.js';
import { KeyedHash } from './rate-limit.js';

/** Endpoints that are remembered; a power of two. 640 KiB. An entry may be overwritten: then the limits of the address apply. */
const ENDPOINTS = 131_072;

/**
 * Failed requests that one answer pays for. A device sends one request. The rest is for junk that guesses its port, or comes from an
 * attacker who sees its hello.
 */
export const FAILURES_PER_HELLO = 4;

export class RequestCredits {
  private readonly owners = new Uint32Array(ENDPOINTS);
  private readonly left = new Uint8Array(ENDPOINTS);
  private readonly hash: KeyedHash;

  constructor(random: RandomFill = systemRandom) {
    this.hash = new KeyedHash(random);
  }

  /** A hello of this endpoint is answered. */
  grant(sender: Sender): void {
    const owner = this.ownerOf(sender);
    const index = indexOf(owner);
    this.owners[index] = owner;
    this.left[index] = FAILURES_PER_HELLO;
  }

  has(sender: Sender): boolean {
    return this.placeOf(sender) !== undefined;
  }

  /** A request has failed; false if nothing pays for it. */
  take(sender: Sender): boolean {
    const place = this.placeOf(sender);
    if (place !== undefined) {
      this.left[place]!--;
    }
    return place !== undefined;
  }

  /** The place of an endpoint that has something left. */
  private placeOf(sender: Sender): number | undefined {
    const owner = this.ownerOf(sender);
    const place = indexOf(owner);
    return this.owners[place] === owner && this.left[place]! > 0 ? place : undefined;
  }

  private ownerOf({ ipv6: [a, b, c, d], remote }: Sender): number {
    return this.hash.of(this.hash.of(a, b) ^ c ^ (remote.port << 16), d);
  }
}

function indexOf(owner: number): number {
  return owner & (ENDPOINTS - 1);
}
