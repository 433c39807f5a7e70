/** The bytes of protocol v2 are those of the vectors, which an independent reference in Python makes from the specification. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deriveKey } from '../../../lib/keys/index.js';
import {
  FLAGS_AT,
  DirectionKeys,
  type V2Shape,
  deriveSessionKeys,
  formatAgain,
  formatGrant,
  formatOpen,
  formatV2Reply,
  formatV2Request,
  grantKeyOf,
  isAgainOf,
  isReplyTo,
  isRequestOf,
  keyIdOf,
  openKeyOf,
  readGrant,
  readRequestTag,
  sessionIdOf,
  sessionSecretOf,
  shapeOf,
} from '../../../lib/protocol/v2/index.js';
import { remoteOf } from '../../support/pure-device.js';
import { V2AnsweringServer, createV2Server, datagramOf } from '../../support/v2-server.js';
import vectors from '../../vectors/v2.json' with { type: 'json' };

const root = join(import.meta.dirname, '../../..');
const hex = (text: string) => Buffer.from(text, 'hex');
const latin1 = (text: string) => Buffer.from(text, 'latin1');

const keys = new Map(vectors.keys.map(({ name, contents }) => [name, deriveKey(hex(contents))]));
const [first] = vectors.openings;
const nonces = { nd: hex(first!.nd), ck: hex(first!.ck), ns: hex(first!.ns) };
const secret = sessionSecretOf(keys.get(first!.key)!, nonces);
const LATER = first!.second * 1000 + 999;

/** The address of a vector as a socket names it. */
function addressOf(bytes: Buffer): string {
  return bytes.length === 4
    ? bytes.join('.')
    : Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16)).join(':');
}

/** The keys of both directions of the session, with ciphers that were not used yet. */
function sessionKeys(): { requests: DirectionKeys; replies: DirectionKeys } {
  const bytes = Buffer.alloc(128);
  deriveSessionKeys(secret, bytes);
  const [ke, ka, kre, kra] = [0, 32, 64, 96].map((at) => bytes.subarray(at, at + 32));
  return {
    requests: new DirectionKeys(ke!, ka!),
    replies: new DirectionKeys(kre!, kra!),
  };
}

/** A server in the state of the first opening. */
function createServer(handle = (_text: string) => '{"data":1}') {
  return new V2AnsweringServer(
    { keys: [{ device: 'board', key: keys.get(first!.key)! }], secret: hex(vectors.S), route: first!.rt },
    handle,
  );
}

const remote = remoteOf(addressOf(hex(first!.address)));

describe('the vectors of protocol v2', () => {
  const hasPython = spawnSync('python3', ['--version']).status === 0;

  it.skipIf(!hasPython)('are what tools/v2-reference.py makes (needs python3)', () => {
    const { status, stderr } = spawnSync('python3', [join(root, 'tools/v2-reference.py'), '--check']);
    expect([status, stderr.toString()]).toEqual([0, '']);
  });

  it.each(vectors.keys)('derive from the key file of $name', ({ name, K, kid, Kc, Ks }) => {
    const key = keys.get(name)!;
    expect([key, latin1(keyIdOf(key)), openKeyOf(key), grantKeyOf(key)]).toEqual([K, kid, Kc, Ks].map(hex));
  });

  it.each(vectors.openings)('open a session: $name', (vector) => {
    const key = keys.get(vector.key)!;
    const open = { nd: hex(vector.nd), old: hex(vector.old) };
    const grant = { ck: hex(vector.ck), quiet: vector.quiet, ns: hex(vector.ns) };
    expect(formatOpen(key, keyIdOf(key), open.nd, open.old)).toEqual(hex(vector.open));
    expect(formatGrant(key, open, grant)).toEqual(hex(vector.grant));
    expect(readGrant(key, hex(vector.grant), open)).toEqual(grant);
    const p = sessionSecretOf(key, { ...open, ...grant });
    const derived = Buffer.alloc(128);
    deriveSessionKeys(p, derived);
    expect([p, sessionIdOf(p, grant.ck)]).toEqual([vector.P, vector.sid].map(hex));
    expect(derived).toEqual(hex(vector.ke + vector.ka + vector.kre + vector.kra));
  });

  it.each(vectors.openings.filter(({ quiet }) => quiet !== 0xffff))('have the GRANT of a server: $name', (vector) => {
    const server = createV2Server({
      keys: [...keys].map(([device, key]) => ({ device, key })),
      secret: hex(vectors.S),
      route: vector.rt,
    });
    const decision = server.receive(hex(vector.open), remoteOf(addressOf(hex(vector.address))), vector.second * 1000);
    expect(datagramOf(decision)?.toString('hex')).toBe(vector.grant);
  });

  it('carry requests', () => {
    const device = sessionKeys();
    const server = sessionKeys();
    for (const { ctr, t, text, ct, flags, datagram } of vectors.requests) {
      const bytes = hex(datagram);
      const head = ctr === 1 ? { ...nonces, keyId: keyIdOf(keys.get(first!.key)!) } : { sid: hex(first!.sid), ctr, t };
      expect(formatV2Request(head, flags, text, device.requests).toString('hex')).toBe(datagram);
      expect(shapeOf(bytes)).toBe<V2Shape>(ctr === 1 ? 'first' : 'further');
      expect(isRequestOf(server.requests.tagKey(), bytes)).toBe(true);
      const flagsAt = ctr === 1 ? FLAGS_AT.first : FLAGS_AT.further;
      const ciphertext = bytes.subarray(flagsAt + 1, -16);
      expect(ciphertext).toEqual(hex(ct));
      expect(server.requests.texts.open(ctr, ciphertext).toString().trimEnd()).toBe(text);
    }
  });

  it('carry replies', () => {
    const server = sessionKeys();
    const device = sessionKeys();
    for (const { request, ctr, flags, text, ct, datagram } of vectors.replies) {
      const asked = { ctr, requestTag: readRequestTag(hex(request)) };
      expect(formatV2Reply(asked, flags as 0 | 1 | 2, text, server.replies).toString('hex')).toBe(datagram);
      expect(isReplyTo(asked, hex(datagram), device.replies.tagKey())).toBe(true);
      if (ct !== '') {
        expect(device.replies.texts.open(ctr, hex(ct)).toString().trimEnd()).toBe(text);
      }
    }
  });

  it('are accepted in their order by a server', () => {
    const texts: string[] = [];
    const server = createServer((text) => {
      texts.push(text);
      return '{"data":1}';
    });
    const readable = vectors.requests.filter(({ text }) => text.startsWith('{'));
    for (const { datagram, t, text } of vectors.requests) {
      const { reason } = server.receive(hex(datagram), remote, LATER + t);
      expect(reason).toBe(text.startsWith('{') ? undefined : 'bad-request');
    }
    expect(texts).toEqual(readable.map(({ text }) => text));
  });

  it.each(vectors.refused)('have a datagram that is dropped: $name, $reason', ({ datagram, reason }) => {
    const server = createServer();
    expect(server.receive(hex(vectors.requests[0]!.datagram), remote, LATER)).not.toHaveProperty('reason');
    expect(server.receive(hex(datagram), remote, LATER).reason).toBe(reason);
  });

  it.each(vectors.ignored.datagrams)('have a datagram that a device ignores: $name', ({ datagram }) => {
    const bytes = hex(datagram);
    const asked = { ctr: 2, requestTag: readRequestTag(hex(vectors.ignored.request)) };
    const { replies } = sessionKeys();
    expect(isReplyTo(asked, hex(vectors.ignored.reply), replies.tagKey())).toBe(true);
    expect(isReplyTo(asked, bytes, replies.tagKey()) || isAgainOf(hex(first!.sid), bytes)).toBe(false);
  });

  it('have the AGAIN of the session', () => {
    expect(formatAgain(hex(first!.sid)).toString('hex')).toBe(vectors.again);
    expect(isAgainOf(hex(first!.sid), hex(vectors.again))).toBe(true);
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
