/**
 * Explains why a server could not be bound, and names the next step. The system says only `bind EADDRINUSE`.
 */
import cluster from 'node:cluster';
import { BenUdpError, type BenUdpErrorCode } from '../errors.js';
import { formatEndpoint } from '../format-endpoint.js';

const DOCTOR = '"npx nestjs-ben-udp doctor"';

const IN_USE_HINT =
  'Stop the other process, perhaps an earlier run of this one, or choose another port. To find it: "ss -lunp" on Linux, ' +
  '"lsof -nP -iUDP" on macOS, "netstat -ano -p UDP" on Windows';

/** Workers share no socket, because a request could reach another worker than its hello. */
const IN_USE_BY_WORKER_HINT =
  'This process is a node:cluster worker, as "pm2 -i" starts them, and a hello and its request must reach the same process. ' +
  'Set reusePort: true (Node 22.12 or later on Linux), run the transport in one process (pm2: exec_mode "fork", one instance), or ' +
  'give each worker its own port';

/** Sockets share a port only if all of them set the option and belong to one user. */
const NOT_SHARED_HINT =
  'The other process listens without reusePort, or belongs to another user. Set reusePort: true there too, or choose another port. ' +
  'To find it: "ss -lunp"';

/** @param error the error of the system. */
export function toBindError(
  error: NodeJS.ErrnoException,
  { host, port, reusePort = false }: { readonly host: string; readonly port: number; readonly reusePort?: boolean },
  isClusterWorker: boolean = cluster.isWorker,
): BenUdpError {
  if (error instanceof BenUdpError) {
    return error;
  }
  const endpoint = formatEndpoint(host, port);
  const inUseHint = reusePort ? NOT_SHARED_HINT : isClusterWorker ? IN_USE_BY_WORKER_HINT : IN_USE_HINT;
  const [code, message, hint] = describe(error, endpoint, host, inUseHint);
  return new BenUdpError(code, `${message}\n${hint}`, { cause: error });
}

function describe(
  { code, syscall, message }: NodeJS.ErrnoException,
  endpoint: string,
  host: string,
  inUseHint: string,
): [code: BenUdpErrorCode, message: string, hint: string] {
  if (syscall === 'getaddrinfo') {
    return [
      'BEN_HOST_UNKNOWN',
      `the host "${host}" is not known (${code})`,
      `Bind to 0.0.0.0 or to an address of this machine; ${DOCTOR} lists them`,
    ];
  }
  switch (code) {
    case 'EADDRINUSE':
      return ['BEN_ADDRESS_IN_USE', `${endpoint} is in use`, inUseHint];
    case 'EADDRNOTAVAIL':
      return [
        'BEN_SOCKET',
        `${host} is not an address of this machine`,
        `Bind to 0.0.0.0 for all of its addresses; ${DOCTOR} lists them`,
      ];
    case 'EACCES':
      return [
        'BEN_SOCKET',
        `this user may not bind ${endpoint}`,
        'Ports below 1024 are often reserved: choose another, for example 8585',
      ];
    default:
      return [
        'BEN_SOCKET',
        `${endpoint} could not be bound: ${message}`,
        `Choose another host or port; ${DOCTOR} checks this machine`,
      ];
  }
}
