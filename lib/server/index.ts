/** A server without Nest: answers datagrams, counts them, and remembers devices. */
export * from './device-registry.js';
export * from './known-board-keeper.js';
export * from './known-board-store.js';
export * from './known-boards-file.js';
export * from './listener.js';
export * from './listener-options.js';
export * from './statistics.js';
export { toBindError } from './bind-error.js';
export { IdempotentAnswers, REFUSED_IDS } from './idempotent-answers.js';
export * from './result-store.js';
