import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';

/**
 * A UDP port of 127.0.0.1 that refuses every datagram until the test ends. A socket holds it, so that no other process can bind it in
 * between. Because the socket is connected elsewhere, the kernel answers everybody else as if nobody listened.
 */
export async function unreachablePort(): Promise<number> {
  const holder = createSocket('udp4');
  onTestFinished(() => void holder.close());
  holder.bind(0, '127.0.0.1');
  await once(holder, 'listening');
  holder.connect(1, '127.0.0.1');
  await once(holder, 'connect');
  return holder.address().port;
}
