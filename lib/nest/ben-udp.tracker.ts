/**
 * Tells devices apart for `@nestjs/throttler`.
 */
import type { ExecutionContext } from '@nestjs/common';
import { getBenUdpRequest } from './ben-udp.request.js';

/**
 * A `getTracker` for `@nestjs/throttler`. Returns the name of the device whose key verified, or the address if that key has no name.
 *
 *     ThrottlerModule.forRoot({ throttlers: [{ limit: 10, ttl: 60_000 }], getTracker: getBenUdpTracker })
 *
 * @throws TypeError in a handler of another transport.
 * @publicApi
 */
export function getBenUdpTracker(_request: unknown, context: ExecutionContext): string {
  const request = getBenUdpRequest(context);
  const tracker = request?.getDevice() ?? request?.getRemoteAddress();
  if (tracker === undefined) {
    throw new TypeError(
      'getBenUdpTracker: this handler runs for another transport. Give the ThrottlerGuard of other handlers its own tracker',
    );
  }
  return tracker;
}
