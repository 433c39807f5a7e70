/**
 * Resolves a host name to an address, in the spelling in which datagrams name their sender.
 */
import { lookup } from 'node:dns/promises';
import { SocketAddress, isIPv4 } from 'node:net';

/**
 * The address of a host; a link-local address with its zone.
 *
 * @param family 4 or 6 if the address must be of that family, else 0.
 * @throws the error of the system if the name is unknown, or has no address of that family.
 */
export async function resolveHost(host: string, family: number): Promise<string> {
  // Devices speak IPv4, so a name with both kinds of address means the IPv4 one.
  const { address } = await lookup(host, { family, verbatim: false });
  if (isIPv4(address)) {
    return address;
  }
  const zone = address.includes('%') ? address.slice(address.indexOf('%')) : '';
  // IPv6 has many spellings, and the system prints the shortest: `::1` for `0:0:0:0:0:0:0:1`.
  return new SocketAddress({ address, family: 'ipv6' }).address + zone;
}
