/** The vectors of protocol v2 are what two implementations make that share nothing: the reference in Python, and the server of these tests. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import vectors from '../vectors/v2.json' with { type: 'json' };
import { T, V2Key, V2Keys, V2Server, seal, toBytes, unseal } from '../support/v2-server.js';

const root = join(import.meta.dirname, '..', '..');
const hex = (text: string) => Buffer.from(text, 'hex');

const keys = new Map(vectors.keys.map(({ name, contents }) => [name, new V2Key(hex(contents))]));
const [first] = vectors.openings;
const session = new V2Keys(keys.get(first!.key)!, hex(first!.nd), hex(first!.ck), hex(first!.ns));
const address = hex(first!.address);
const LATER = first!.second * 1000 + 999;

/** A server in the state of the first opening. */
function createServer(handle = (_text: string): string | undefined => '{"data":1}') {
  return new V2Server({ keys: [keys.get(first!.key)!], secret: hex(vectors.S), handle });
}

function serverWithSession() {
  const server = createServer();
  expect(server.receive(hex(vectors.requests[0]!.datagram), address, LATER).reason).toBeUndefined();
  return server;
}

describe('the vectors of protocol v2', () => {
  const hasPython = spawnSync('python3', ['--version']).status === 0;

  it.skipIf(!hasPython)('are what tools/v2-reference.py makes (needs python3)', () => {
    const { status, stderr } = spawnSync('python3', [join(root, 'tools/v2-reference.py'), '--check']);
    expect([status, stderr.toString()]).toEqual([0, '']);
  });

  it.each(vectors.keys)('derive from the key file of $name', ({ name, K, kid, Kc, Ks }) => {
    const key = keys.get(name)!;
    expect([key.k, key.id, key.up, key.down]).toEqual([K, kid, Kc, Ks].map(hex));
  });

  it.each(vectors.openings)('open a session: $name', (vector) => {
    const key = keys.get(vector.key)!;
    const open = hex(vector.open);
    expect(open).toHaveLength(50);
    expect(open.subarray(34)).toEqual(T(key.up, open.subarray(0, 34)));
    const server = new V2Server({
      keys: [...keys.values()],
      secret: hex(vectors.S),
      route: vector.rt,
      handle: () => undefined,
    });
    const { datagram } = server.receive(open, hex(vector.address), vector.second * 1000);
    const grant = hex(vector.grant);
    expect(grant).toHaveLength(39);
    if (vector.quiet === 0xffff) {
      // Only a server that has the session says so.
      grant.writeUInt16BE(datagram!.readUInt16BE(5), 5);
      expect(datagram!.subarray(0, 23)).toEqual(grant.subarray(0, 23));
      expect(hex(vector.grant).subarray(23)).toEqual(
        T(key.down, hex(vector.grant).subarray(0, 7), hex(vector.nd), hex(vector.old), hex(vector.ns)),
      );
    } else {
      expect(datagram).toEqual(grant);
    }
    const { p, ke, ka, kre, kra, sid } = new V2Keys(key, hex(vector.nd), hex(vector.ck), hex(vector.ns));
    expect([p, ke, ka, kre, kra, sid]).toEqual(
      [vector.P, vector.ke, vector.ka, vector.kre, vector.kra, vector.sid].map(hex),
    );
  });

  it.each(vectors.requests)('carry a request: $name', ({ ctr, t, text, ct, flags, datagram }) => {
    const bytes = hex(datagram);
    const head = ctr === 1 ? 30 : 19;
    expect(seal(session.ke, ctr, text)).toEqual(hex(ct));
    expect(unseal(session.ke, ctr, bytes.subarray(head, -16))).toBe(text);
    expect(bytes.subarray(-16)).toEqual(T(session.ka, bytes.subarray(0, -16)));
    expect(bytes[head - 1]).toBe(flags);
    if (ctr > 1) {
      expect(bytes.subarray(2, 18)).toEqual(Buffer.concat([session.sid, toBytes(ctr, 4), toBytes(t, 4)]));
    }
  });

  it('are accepted in their order by a server', () => {
    const texts: string[] = [];
    const server = createServer((text) => {
      texts.push(text);
      return '{"data":1}';
    });
    for (const { datagram, t } of vectors.requests) {
      expect(server.receive(hex(datagram), address, LATER + t)).not.toHaveProperty('reason');
    }
    expect(texts).toEqual(vectors.requests.map(({ text }) => text));
  });

  it.each(vectors.replies)('carry a reply: $name', ({ request, ctr, flags, text, datagram }) => {
    expect(session.reply(hex(request).subarray(-16), ctr, flags, text)).toEqual(hex(datagram));
  });

  it.each(vectors.refused)('have a datagram that is dropped: $name, $reason', ({ datagram, reason }) => {
    expect(serverWithSession().receive(hex(datagram), address, LATER).reason).toBe(reason);
  });

  it('have the sizes of the specification, and those of the page', () => {
    const bytes = (text: string) => text.length / 2;
    const [request, next] = vectors.requests;
    const [, reply] = vectors.replies;
    const opening = bytes(first!.open) + bytes(first!.grant);
    const page = readFileSync(join(root, 'docs/protocol-v2.md'), 'utf8');
    const firstExchange = opening + bytes(request!.datagram) + bytes(reply!.datagram);
    expect(page).toContain(
      `the first exchange takes ${firstExchange} bytes of UDP payload and each further one ${bytes(next!.datagram) + bytes(reply!.datagram)}`,
    );
  });
});

describe('a key id that two keys share', () => {
  it('is settled by the tag', () => {
    const key = keys.get(first!.key)!;
    const other = new V2Key(Buffer.from('other'), key.id);
    const server = new V2Server({ keys: [other, key], secret: hex(vectors.S), handle: () => undefined });
    expect(server.receive(hex(first!.open), address, first!.second * 1000).datagram).toEqual(hex(first!.grant));
  });
});
