/**
 * Clock, timers, sockets and names of the machine: all that a simulator replaces.
 */
import {
  type DatagramSocket,
  type DatagramSocketHandlers,
  type DatagramSocketOptions,
  bindDatagramSocket,
} from './datagram-socket.js';
import { resolveHost } from './resolve-host.js';

export interface Platform {
  /** Monotonic milliseconds: setting the machine's clock does not move it. */
  now(): number;
  /** Runs `callback` after `ms`; the function returned calls that off. What is in the background keeps no process alive. */
  schedule(callback: () => void, ms: number, options?: { readonly isBackground: boolean }): () => void;
  /** Runs `callback` when the sockets have been read once. */
  afterTurn(callback: () => void): void;
  bindSocket(options: DatagramSocketOptions, handlers: DatagramSocketHandlers): Promise<DatagramSocket>;
  /** The address of a host, as `resolveHost` finds it. */
  resolveHost(host: string, family: number): Promise<string>;
}

export const nodePlatform: Platform = {
  now: () => performance.now(),
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
