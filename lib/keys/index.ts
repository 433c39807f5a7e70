/** Device keys: key files, the key options, and the ring of keys that a server accepts. No other layer reads key files. */
export * from './derive-key.js';
export * from './key-directory.js';
export * from './key-file.js';
export * from './key-file-watcher.js';
export * from './key-options.js';
export * from './key-ring.js';
export * from './key-store.js';
export * from './load-keys.js';
export * from './ring-key.js';
