/** The wire protocol, pure: bytes, texts and values. Knows no Nest, rxjs or node:dgram. */
export * from './aes-block.js';
export * from './envelope.js';
export * from './hmac.js';
export * from './json-text.js';
export * from './json-value.js';
export * from './metadata.js';
export * from './open-request.js';
export * from './parse-json.js';
export * from './python-text/index.js';
export * from './random-blocks.js';
export * from './reply.js';
export * from './request.js';
export * from './seal.js';
export * from './unreadable-reply.js';
export * from './wire.js';
