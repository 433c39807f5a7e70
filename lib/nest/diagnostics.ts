/**
 * Channels of node:diagnostics_channel, for tracing and metrics tools that should not have to know the transport.
 */
import { channel } from 'node:diagnostics_channel';

/** Each message is a `BenUdpExchange`: a request that has ended. */
export const exchangeChannel = channel('nestjs-ben-udp:exchange');

/** Each message is a `BenUdpRejectedDatagram`. */
export const rejectedChannel = channel('nestjs-ben-udp:rejected');
