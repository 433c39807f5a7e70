/** Device keys: key files, the key options, and the ring of keys that a server accepts. The one layer below `cli` that reads files. */
export * from './derive-key.js';
export * from './key-file.js';
export * from './key-file-watcher.js';
export * from './key-options.js';
export * from './key-ring.js';
