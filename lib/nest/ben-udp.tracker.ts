/**
 * Tells devices apart for `@nestjs/throttler`.
 */
import type { ExecutionContext } from '@nestjs/common';
import type { BenUdpContext } from './ben-udp.context.js';

/**
 * A `getTracker` for `@nestjs/throttler`. Returns the name of the device whose key verified, or the address if that key has no name.
 *
 *     ThrottlerModule.forRoot({ throttlers: [{ limit: 10, ttl: 60_000 }], getTracker: getBenUdpTracker })
 *
 * @publicApi
 */
export function getBenUdpTracker(_request: unknown, context: ExecutionContext): string {
  const ctx = context.switchToRpc().getContext<BenUdpContext>();
  return ctx.getDevice() ?? ctx.getRemoteAddress();
}
