/**
 * Formats endpoints for people.
 */

/** `10.0.0.7:8585`, `[fe80::1]:8585`. */
export function formatEndpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
