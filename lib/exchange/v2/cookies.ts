/**
 * The stateless cookies of openings: the nonce of the server follows from a secret, the opening, the second and the address. So the
 * server keeps nothing for an opening, and a session exists only after its device received a datagram at its address.
 */
import { COOKIE_BYTES, NONCE_BYTES, ROUTE_BYTES, tagOf, writeTag } from '../../protocol/v2/index.js';
import { Secret } from '../../secret.js';
import type { Sender } from '../remote.js';

/** Age of a cookie at which REQ1 is still accepted, in seconds. */
export const COOKIE_S = 20;

/** Values of the slot byte in a cookie. */
const SLOTS = 256;

const SECOND_BYTES = 6;

export class Cookies {
  private readonly secret: Secret;
  private readonly routeBytes = Buffer.alloc(ROUTE_BYTES);
  /** When the socket was bound. */
  startedAt = 0;

  /**
   * @param secret is copied.
   * @param route names this process among those behind one address.
   */
  constructor(secret: Uint8Array, route: number) {
    this.secret = new Secret(secret);
    this.routeBytes.writeUInt16BE(route);
  }

  /** @param at where a cookie or a session id begins, and so a route. */
  isOwnRoute(bytes: Buffer, at = 0): boolean {
    return bytes[at] === this.routeBytes[0] && bytes[at + 1] === this.routeBytes[1];
  }

  secondAt(now: number): number {
    return Math.floor((now - this.startedAt) / 1000);
  }

  /** The time at which a second began. */
  timeOf(second: number): number {
    return this.startedAt + second * 1000;
  }

  issue(second: number): Buffer {
    const ck = Buffer.alloc(COOKIE_BYTES);
    ck.set(this.routeBytes);
    ck[ROUTE_BYTES] = second % SLOTS;
    return ck;
  }

  /** The second in which a cookie was issued; `undefined` if another process issued it, or if it is too old. */
  issuedAt(ck: Buffer, now: number): number | undefined {
    const second = this.secondAt(now);
    const age = (second - ck[ROUTE_BYTES]! + SLOTS) % SLOTS;
    return this.isOwnRoute(ck) && age <= COOKIE_S && age <= second ? second - age : undefined;
  }

  nonceOf(keyId: string, nd: Buffer, second: number, sender: Sender): Buffer {
    const seconds = Buffer.alloc(SECOND_BYTES);
    seconds.writeUIntBE(second, 0, SECOND_BYTES);
    const ns = Buffer.alloc(NONCE_BYTES);
    const input = [Buffer.from(keyId, 'latin1'), nd, this.routeBytes, seconds, sender.addressBytes];
    writeTag(ns, 0, tagOf(this.secret.expose(), ...input));
    return ns;
  }

  /** Overwrites the secret. All cookies become void. */
  wipe(): void {
    this.secret.wipe();
  }
}
