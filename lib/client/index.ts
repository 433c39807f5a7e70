/** A client without Nest: carries requests to one server over a bounded pool of sockets. */
export * from './request-client.js';
