/**
 * Resolves a host name to an address, in the spelling in which datagrams name their sender.
 */
import { lookup } from 'node:dns/promises';
import { SocketAddress, isIPv4 } from 'node:net';

/** Running lookups, by name and family. Bounded by the host names of this app's options, because calls for one name share a lookup. */
const pending = new Map<string, Promise<string>>();

/**
 * The address of a host; a link-local one with its zone. Concurrent lookups of a name share one, because each occupies a thread of
 * Node's pool: retries during a hanging lookup would take all of them.
 *
 * @param family the family of the local address, 4 or 6, if that is given; else 0.
 * @throws the system's error if the name is unknown or has no address of that family.
 */
export function resolveHost(host: string, family: number): Promise<string> {
  const name = `${family} ${host}`;
  const underWay = pending.get(name);
  if (underWay) {
    return underWay;
  }
  const found = findAddress(host, family).finally(() => pending.delete(name));
  pending.set(name, found);
  return found;
}

async function findAddress(host: string, family: number): Promise<string> {
  // Devices speak IPv4, so a name that has both kinds of address means that one.
  const { address } = await lookup(host, { family, verbatim: false });
  if (isIPv4(address)) {
    return address;
  }
  const zone = address.includes('%') ? address.slice(address.indexOf('%')) : '';
  // IPv6 has many spellings, and the system prints the shortest: `::1` for `0:0:0:0:0:0:0:1`.
  return new SocketAddress({ address, family: 'ipv6' }).address + zone;
}
