/** Networks in CIDR notation. */
import { type BlockList, isIP } from 'node:net';

const CIDR = /^([^/]+)\/(\d{1,3})$/;

/** Adds a network to a list; false if the text names none. */
export function addNetwork(list: BlockList, network: string): boolean {
  const [, address = '', prefix = ''] = CIDR.exec(network) ?? [];
  const version = isIP(address);
  const bits = Number(prefix);
  if (version === 0 || bits > (version === 4 ? 32 : 128)) {
    return false;
  }
  list.addSubnet(address, bits, version === 4 ? 'ipv4' : 'ipv6');
  return true;
}
