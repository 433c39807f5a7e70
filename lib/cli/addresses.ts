/**
 * The addresses at which a board could reach this machine.
 */
import type { CliIo } from './io.js';

export interface ReachableAddress {
  readonly address: string;
  /** Name of the interface. */
  readonly name: string;
  /** Whether a board is likely to be in that network. */
  readonly isLikely: boolean;
  /** Why a board is unlikely to be there. */
  readonly remark: string | undefined;
}

/** Names of interfaces that lead to containers, virtual machines and tunnels. */
const VIRTUAL = /^(docker|br-|veth|virbr|vmnet|vboxnet|cni|flannel|lxc|podman|tun|tap|utun|wg|tailscale|zt|vEthernet)/;

/** Prefix of an address that a machine assigns itself if the network assigns none. */
const SELF_ASSIGNED = '169.254.';

/** The IPv4 addresses except loopback, because boards speak IPv4. The likely ones come first. */
export function listAddresses(interfaces: ReturnType<CliIo['interfaces']>): ReachableAddress[] {
  const addresses = Object.entries(interfaces).flatMap(([name, infos]) =>
    (infos ?? [])
      .filter(({ family, internal }) => family === 'IPv4' && !internal)
      .map(({ address }) => ({ address, name, ...judge(name, address) })),
  );
  return addresses.toSorted((one, other) => Number(other.isLikely) - Number(one.isLikely));
}

function judge(name: string, address: string): Pick<ReachableAddress, 'isLikely' | 'remark'> {
  if (address.startsWith(SELF_ASSIGNED)) {
    return { isLikely: false, remark: 'self-assigned: this interface got no address from the network' };
  }
  return VIRTUAL.test(name)
    ? { isLikely: false, remark: 'a network of containers, virtual machines or a tunnel' }
    : { isLikely: true, remark: undefined };
}
