/**
 * Clock, timers and sockets of the machine: all that a simulator replaces.
 */
import {
  type DatagramSocket,
  type DatagramSocketHandlers,
  type DatagramSocketOptions,
  bindDatagramSocket,
} from './datagram-socket.js';

export interface Platform {
  /** Monotonic milliseconds: setting the machine's clock does not move it. */
  now(): number;
  /** Runs `callback` after `ms`; the function returned calls that off. */
  schedule(callback: () => void, ms: number): () => void;
  /** Runs `callback` when the sockets have been read once. */
  afterTurn(callback: () => void): void;
  bindSocket(options: DatagramSocketOptions, handlers: DatagramSocketHandlers): Promise<DatagramSocket>;
}

export const nodePlatform: Platform = {
  now: () => performance.now(),
  schedule: (callback, ms) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
  afterTurn: (callback) => void setImmediate(callback),
  bindSocket: bindDatagramSocket,
};
