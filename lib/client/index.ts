/** A client without Nest: sends requests to one server over a bounded pool of sockets. */
export * from './request-book.js';
export * from './request-client.js';
export * from './v2-request-client.js';
