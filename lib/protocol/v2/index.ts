/** Protocol v2, pure: frames, key schedule, sealing. `docs/protocol-v2.md` is the specification. */
export * from './frames.js';
export * from './keys.js';
export * from './session-ciphers.js';
export * from './tag.js';
export * from './text-cipher.js';
export * from './wire.js';
