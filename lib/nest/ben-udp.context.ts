/**
 * The facts about a request for `@Ctx()`, guards, interceptors and filters.
 */
import { BaseRpcContext } from '@nestjs/microservices';
import { brand } from '../brand.js';
import type { BenUdpProtocol, VerifiedRequest } from '../exchange/index.js';

export type BenUdpContextArgs = [
  request: VerifiedRequest,
  pattern: string,
  receivedAt: number,
  /** Shared by all contexts, so a context costs nothing unless its signal is used. */
  signalOf: (request: VerifiedRequest) => AbortSignal,
];

/**
 * The facts about a request: `@Ctx() context: BenUdpContext` in a handler, `getContext()` in guards, interceptors and filters.
 *
 * @publicApi
 */
export class BenUdpContext extends BaseRpcContext<BenUdpContextArgs> {
  static {
    brand(this, 'BenUdpContext');
  }

  /** The action as a string: the action itself, or the route of an object pattern. */
  getPattern(): string {
    return this.args[1];
  }

  /**
   * The device whose key verified the request: its name in the `keys` option. `undefined` if the key has no name.
   * Unlike an address, it can't be forged without the key.
   */
  getDevice(): string | undefined {
    return this.args[0].device;
  }

  /** The address of the sender. Behind a NAT, the address of the NAT. */
  getRemoteAddress(): string {
    return this.args[0].remote.address;
  }

  /** The port of the sender, to which the answer goes. */
  getRemotePort(): number {
    return this.args[0].remote.port;
  }

  /** The family of the address. */
  getRemoteFamily(): 'IPv4' | 'IPv6' {
    return this.args[0].remote.family;
  }

  /** Whether the device waits for a reply; false if it sent `noreturn`. */
  isReplyExpected(): boolean {
    return !this.args[0].noreturn;
  }

  /**
   * The version of the protocol that the device speaks. With `v1` the device can't know whether a reply is authentic, or fresh. With
   * `v2` it knows both.
   */
  getProtocol(): BenUdpProtocol {
    return this.args[0].protocol;
  }

  /** The time at which the request arrived. */
  getReceivedAt(): Date {
    return new Date(this.args[2]);
  }

  /**
   * Texts in addition to the payload, under `meta` in the request dict: a trace id, for example. A frozen flat record of at most 16 entries
   * of 1024 characters. Other entries are dropped and counted (`getStats().droppedMetadata`). `undefined` without metadata: the
   * upstream client sends none, and `BenUdpClient` sends the `metadata` that its serializer returns.
   */
  getMetadata(): Readonly<Record<string, string>> | undefined {
    return this.args[0].metadata;
  }

  /**
   * Fires when nobody waits for the handler any more, so it can stop its work:
   *
   * - the device has stopped waiting: its timeout has passed, or it has sent its next request. `signal.reason` is a `BenUdpError` with
   *   `BEN_TIMEOUT`. This never happens for an event (`noreturn`), because nobody waits for it, or for a request with an id (`rid`),
   *   because a retry gets its result;
   * - the server shuts down, and nine tenths of `shutdownTimeout` have passed. The code is then `BEN_CLOSED`.
   *
   * It does not fire after the handler has ended. The signal is made by the first call, and further calls return the same.
   */
  getSignal(): AbortSignal {
    const [request, , , signalOf] = this.args;
    return signalOf(request);
  }

  /** The decrypted request as the device sent it: the Python text of a dict. */
  getRawRequest(): string {
    return this.args[0].text;
  }
}
