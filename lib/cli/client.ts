/**
 * A client of either protocol, for one request at a time.
 */
import { RequestClient, type RequestClientOptions, V2RequestClient } from '../client/index.js';
import { DEFAULT_BUFFER_SIZE, DEFAULT_IDLE_TIMEOUT_MS } from '../constants.js';
import type { BenUdpProtocol } from '../exchange/index.js';
import type { Platform } from '../net/index.js';
import { Sealer } from '../protocol/index.js';

export type CliClient = RequestClient | V2RequestClient;

/**
 * @param key 32 bytes; copied.
 * @param lookupTimeoutMs as for `RequestClient.create`.
 * @throws BenUdpError `BEN_HOST_UNKNOWN`.
 */
export function createClient(
  target: Pick<RequestClientOptions, 'host' | 'port' | 'localAddress' | 'localPort'>,
  protocol: BenUdpProtocol,
  key: Uint8Array,
  platform: Platform,
  lookupTimeoutMs?: number,
): Promise<CliClient> {
  const options = {
    ...target,
    bufferSize: DEFAULT_BUFFER_SIZE,
    maxSockets: 1,
    maxQueue: 1,
    idleTimeout: DEFAULT_IDLE_TIMEOUT_MS,
  };
  // Datagrams outside the exchange are noise here. A socket error fails the request.
  const handlers = { onIgnored: () => undefined, onError: () => undefined };
  return protocol === 'v2'
    ? V2RequestClient.create(options, key, handlers, platform, lookupTimeoutMs)
    : RequestClient.create(options, new Sealer(key), handlers, platform, lookupTimeoutMs);
}
