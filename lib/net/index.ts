/** Everything that touches the machine: sockets, clock, timers. */
export * from './answer-timer.js';
export * from './datagram-socket.js';
export * from './networks.js';
export * from './platform.js';
export * from './resolve-host.js';
export * from './reuse-port.js';
export * from './stall-watch.js';
