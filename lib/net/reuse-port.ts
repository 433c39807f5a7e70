/**
 * Whether several processes can share a port here. Node 20 and 23.0 silently ignore the option of a socket, and a second process then
 * fails with EADDRINUSE, which would mislead its owner.
 */
import { BenUdpError } from '../errors.js';

/** The first version of each major that has the option. Later majors have it from the start. */
const FIRST_MINOR: Readonly<Record<number, number>> = { 22: 12, 23: 1 };
const FIRST_MAJOR = 22;

/** @param version of Node, such as `22.12.0`. */
export function supportsReusePort(version: string, platform: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return platform === 'linux' && major >= FIRST_MAJOR && minor >= (FIRST_MINOR[major] ?? 0);
}

/** @throws BenUdpError `BEN_REUSE_PORT_UNSUPPORTED`. */
export function requireReusePort(version: string = process.versions.node, platform: string = process.platform): void {
  if (!supportsReusePort(version, platform)) {
    throw new BenUdpError(
      'BEN_REUSE_PORT_UNSUPPORTED',
      `reusePort needs Linux and Node 22.12 or later, and this is Node ${version} on ${platform}\n` +
        'Update Node, or run one process on the port without reusePort',
    );
  }
}
