/** What callers hand in: checked at once, with errors that name the option. */
export * from './key-options.js';
export * from './option-reader.js';
