/**
 * Clocks, timers, randomness, sockets and host names of the machine: everything that a simulator replaces.
 */
import { type RandomFill, systemRandom } from '../random.js';
import {
  type DatagramSocket,
  type DatagramSocketHandlers,
  type DatagramSocketOptions,
  bindDatagramSocket,
} from './datagram-socket.js';
import { resolveHost } from './resolve-host.js';

export interface Platform {
  /** Monotonic milliseconds. Setting the clock of the machine does not move it. */
  now(): number;
  /** Milliseconds since the epoch, for people and logs. It may jump. */
  wallClock(): number;
  readonly randomFill: RandomFill;
  /** Runs `callback` after `ms`; the returned function cancels it. A background timer does not keep the process alive. */
  schedule(callback: () => void, ms: number, options?: { readonly isBackground: boolean }): () => void;
  /** Runs `callback` after the sockets have been read once. */
  afterTurn(callback: () => void): void;
  bindSocket(options: DatagramSocketOptions, handlers: DatagramSocketHandlers): Promise<DatagramSocket>;
  /** The address of a host, found as `resolveHost` does. */
  resolveHost(host: string, family: number): Promise<string>;
}

/** The same platform with another way to bind sockets. */
export function withBindSocket(platform: Platform, bindSocket: Platform['bindSocket']): Platform {
  return {
    now: () => platform.now(),
    wallClock: () => platform.wallClock(),
    randomFill: platform.randomFill,
    schedule: (callback, ms, options) => platform.schedule(callback, ms, options),
    afterTurn: (callback) => platform.afterTurn(callback),
    bindSocket,
    resolveHost: (host, family) => platform.resolveHost(host, family),
  };
}

export const nodePlatform: Platform = {
  now: () => performance.now(),
  wallClock: () => Date.now(),
  randomFill: systemRandom,
  schedule: (callback, ms, { isBackground } = { isBackground: false }) => {
    const timer = setTimeout(callback, ms);
    if (isBackground) {
      timer.unref();
    }
    return () => clearTimeout(timer);
  },
  afterTurn: (callback) => void setImmediate(callback),
  bindSocket: bindDatagramSocket,
  resolveHost,
};
