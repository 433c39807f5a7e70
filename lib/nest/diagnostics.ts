/**
 * Channels of node:diagnostics_channel, for tracing and metrics tools that do not depend on this package.
 */
import { channel } from 'node:diagnostics_channel';

/** Each message is a `BenUdpExchange`: an ended request. */
export const exchangeChannel = channel('nestjs-ben-udp:exchange');

/** Each message is a `BenUdpRejectedDatagram`. */
export const rejectedChannel = channel('nestjs-ben-udp:rejected');
