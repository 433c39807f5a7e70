import type { LookupAddress } from 'node:dns';
import * as dns from 'node:dns/promises';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { resolveHost } from '../../lib/net/index.js';

vi.mock('node:dns/promises', async (original) => {
  const actual = await original<typeof dns>();
  return { ...actual, lookup: vi.fn<typeof actual.lookup>(actual.lookup) };
});

const lookup = vi.mocked(dns.lookup as (host: string) => Promise<LookupAddress>);

describe('resolveHost', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['2001:DB8::0001', '2001:db8::1'],
    ['FE80::0:1%lo', 'fe80::1%lo'],
    ['localhost', '127.0.0.1'],
  ])('spells %s as datagrams from that host do: %s', async (host, address) => {
    expect(await resolveHost(host, 0)).toBe(address);
  });

  it('finds no address of another family', async () => {
    const found = await resolveHost('localhost', 6).catch(({ code }: NodeJS.ErrnoException) => code);
    // Not every machine has an IPv6 address for it.
    expect(['::1', 'ENOTFOUND', 'EAI_ADDRFAMILY', 'EAI_NODATA', 'EAI_AGAIN']).toContain(found);
  });

  it('rejects with the error of the system if the name is unknown', async () => {
    await expect(resolveHost('no-such-host.invalid', 0)).rejects.toMatchObject({ syscall: 'getaddrinfo' });
  });

  describe('at the same time', () => {
    beforeEach(() => void lookup.mockClear());

    it('looks a name up once, and again after that', async () => {
      const answers: Array<(address: LookupAddress) => void> = [];
      for (let count = 0; count < 4; count++) {
        lookup.mockImplementationOnce(() => new Promise((resolve) => answers.push(resolve)));
      }
      const first = [resolveHost('ben.test', 0), resolveHost('ben.test', 0)];
      const other = resolveHost('other.test', 0);
      const six = resolveHost('ben.test', 6);
      expect(lookup.mock.calls.map(([host]) => host)).toEqual(['ben.test', 'other.test', 'ben.test']);
      ['10.0.0.1', '10.0.0.9', '::9'].forEach((address, index) => answers[index]!({ address, family: 4 }));
      expect(await Promise.all([...first, other, six])).toEqual(['10.0.0.1', '10.0.0.1', '10.0.0.9', '::9']);
      const second = resolveHost('ben.test', 0);
      answers[3]!({ address: '10.0.0.2', family: 4 });
      expect(await second).toBe('10.0.0.2');
    });

    it('rejects for all callers, and looks the name up again after a failure', async () => {
      lookup.mockRejectedValueOnce(new Error('getaddrinfo EAI_AGAIN'));
      const failed = await Promise.allSettled([resolveHost('ben.test', 0), resolveHost('ben.test', 0)]);
      expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
      lookup.mockResolvedValueOnce({ address: '10.0.0.1', family: 4 });
      expect(await resolveHost('ben.test', 0)).toBe('10.0.0.1');
    });
  });
});
