/**
 * What `@Ctx()`, guards, interceptors and filters know about a request.
 */
import { BaseRpcContext } from '@nestjs/microservices';
import { brand } from '../brand.js';
import type { VerifiedRequest } from '../exchange/index.js';

/** @internal */
export type BenUdpContextArgs = [request: VerifiedRequest, pattern: string, receivedAt: number];

/**
 * What is known of a request: `@Ctx() context: BenUdpContext` in a handler, `getContext()` in guards, interceptors and filters.
 *
 * @publicApi
 */
export class BenUdpContext extends BaseRpcContext<BenUdpContextArgs> {
  static {
    brand(this, 'BenUdpContext');
  }

  /** The action, as a string: itself, or the route of an object pattern. */
  getPattern(): string {
    return this.args[1];
  }

  /**
   * The device whose key verified the request: its name in the `keys` option. `undefined` for a key that has no name.
   * Unlike an address, this can't be forged without the key.
   */
  getDevice(): string | undefined {
    return this.args[0].device;
  }

  /** Where the datagram came from; behind a NAT, the NAT's address. */
  getRemoteAddress(): string {
    return this.args[0].remote.address;
  }

  /** The port that the datagram came from, and that the answer goes to. */
  getRemotePort(): number {
    return this.args[0].remote.port;
  }

  /** Of the address. */
  getRemoteFamily(): 'IPv4' | 'IPv6' {
    return this.args[0].remote.family;
  }

  /** Whether the device waits for a reply; false where it sent `noreturn`. */
  isReplyExpected(): boolean {
    return !this.args[0].noreturn;
  }

  /** When the request arrived. */
  getReceivedAt(): Date {
    return new Date(this.args[2]);
  }

  /**
   * Texts that travelled beside the payload, under `meta` in the request dict: a trace id, for example. A frozen flat record of
   * at most 16 entries of 1024 characters; anything else is dropped and counted (`getStats().droppedMetadata`). `undefined` if
   * there were none: the upstream client sends none, `BenUdpClient` sends the `metadata` that its serializer returns.
   */
  getMetadata(): Readonly<Record<string, string>> | undefined {
    return this.args[0].metadata;
  }

  /** The decrypted request as the device sent it: the Python text of a dict. */
  getRawRequest(): string {
    return this.args[0].text;
  }
}
