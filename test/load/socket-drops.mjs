import { readFileSync } from 'node:fs';

/**
 * Datagrams that the system dropped because a socket's buffer was full; `undefined` if the system does not report it (it is
 * Linux that does).
 *
 * @param {number} port of a socket bound to all addresses or one
 */
export function readSocketDrops(port) {
  let table;
  try {
    table = readFileSync('/proc/net/udp', 'latin1');
  } catch {
    return undefined;
  }
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const columns = table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find(([, local]) => local?.endsWith(suffix));
  return columns && Number(columns.at(-1));
}
