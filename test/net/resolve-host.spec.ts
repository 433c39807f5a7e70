import { describe, expect, it } from 'vitest';
import { resolveHost } from '../../lib/net/index.js';

describe('resolveHost', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['2001:DB8::0001', '2001:db8::1'],
    ['FE80::0:1%lo', 'fe80::1%lo'],
    ['localhost', '127.0.0.1'],
  ])('spells %s as datagrams from there do: %s', async (host, address) => {
    expect(await resolveHost(host, 0)).toBe(address);
  });

  it('finds no address of another family than is asked for', async () => {
    const found = await resolveHost('localhost', 6).catch(({ code }: NodeJS.ErrnoException) => code);
    // Not every machine has an IPv6 address for it.
    expect(['::1', 'ENOTFOUND', 'EAI_ADDRFAMILY', 'EAI_NODATA', 'EAI_AGAIN']).toContain(found);
  });

  it('rejects with the error of the system where the name is not known', async () => {
    await expect(resolveHost('no-such-host.invalid', 0)).rejects.toMatchObject({ syscall: 'getaddrinfo' });
  });
});
