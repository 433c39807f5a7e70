/** Keeps a second app out of the folder of PGlite, which has no lock of its own: two would destroy each other's files. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { realpath, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Locks the folder for the life of this process. The lock is a socket that listens: it ends with its process, however that ends, which a file
 * with a process id does not. Its path is short, because the system allows some 100 bytes.
 *
 * @throws Error if another process has locked the folder.
 */
export async function lockFolder(folder: string): Promise<void> {
  const id = createHash('sha256')
    .update(await realpath(folder))
    .digest('hex')
    .slice(0, 16);
  const path = process.platform === 'win32' ? `\\\\.\\pipe\\dashboard-${id}` : join(tmpdir(), `dashboard-${id}.sock`);
  if (await isListening(path)) {
    throw new Error(`another dashboard uses the folder ${folder}: end it, or set DASHBOARD_DATA to another folder`);
  }
  await rm(path, { force: true });
  const server = createServer((socket) => socket.destroy()).unref();
  server.listen(path);
  await once(server, 'listening');
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('error', () => resolve(false));
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}
