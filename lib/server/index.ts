/** A server without Nest: answers datagrams, counts them, remembers devices, notices changed key files. */
export * from './device-registry.js';
export * from './listener.js';
export * from './statistics.js';
