/** The sender of a request in the headers of NATS and in the packets of Redis, and any values of a foreign program there. */
import { describe, expect, it } from 'vitest';
import type { BenUdpContext } from '../../../lib/nest/ben-udp.context.js';
import {
  type RelayIdentity,
  fromHeaders,
  fromPacket,
  identityOf,
  toHeaders,
  toRequest,
} from '../../../lib/nest/relay/relay-identity.js';

const RECEIVED_AT = new Date(1_767_355_200_000);

function contextOf(device: string | undefined, metadata: Record<string, string> | undefined): BenUdpContext {
  const context: Partial<BenUdpContext> = {
    getDevice: () => device,
    getMetadata: () => metadata,
    getRemoteAddress: () => '10.0.0.7',
    getReceivedAt: () => RECEIVED_AT,
  };
  return context as BenUdpContext;
}

/** Through the headers, as a worker reads them. */
function throughHeaders(identity: RelayIdentity): RelayIdentity {
  const headers = toHeaders(identity);
  // Visible ASCII: a broker may refuse or cut anything else.
  expect(Object.values(headers).join('')).toMatch(/^[\x21-\x7e]*$/);
  return fromHeaders((name) => headers[name]);
}

describe('the identity of a request', () => {
  it.each([
    ['kitchen', { trace: 'abc' }],
    ['100 % of it', { 'a%20b': '%' }],
    ['line\nbreak\tand\0', { key: 'a\r\nb' }],
    ['küche \u{1f600}', { schlüssel: '\u{1f600}' }],
    [undefined, undefined],
  ])('of device %j with metadata %j is the same behind headers and packets', (device, metadata) => {
    const identity = identityOf(contextOf(device, metadata));
    for (const arrived of [throughHeaders(identity), fromPacket(JSON.parse(JSON.stringify(identity)))]) {
      const request = toRequest(arrived);
      expect(request.getDevice()).toBe(device);
      expect(request.getMetadata()).toEqual(metadata);
      expect(request.getRemoteAddress()).toBe('10.0.0.7');
      expect(request.getReceivedAt()).toEqual(RECEIVED_AT);
    }
  });

  it('has a replacement character for half of a surrogate pair, which has no UTF-8, and JSON an escape', () => {
    const request = toRequest(throughHeaders(identityOf(contextOf('a\ud800', { key: 'b\udfff' }))));
    expect([request.getDevice(), request.getMetadata()]).toEqual(['a\ufffd', { key: 'b\udfff' }]);
  });
});

describe('fromHeaders', () => {
  it('takes an empty header for none', () => {
    expect(fromHeaders((name) => (name === 'Ben-Udp-Device' ? '' : undefined))).toEqual({});
  });

  it('keeps a value that is no percent-encoding as it is', () => {
    expect(fromHeaders((name) => (name === 'Ben-Udp-Device' ? '100%' : undefined))).toEqual({ device: '100%' });
  });
});

describe('fromPacket', () => {
  it.each([undefined, null, 7, 'device', []])('finds nothing in %j', (value) => {
    expect(fromPacket(value)).toEqual({});
  });

  it('takes texts only, and no further names', () => {
    expect(fromPacket({ device: 7, address: '10.0.0.7', metadata: null, more: 'x' })).toEqual({ address: '10.0.0.7' });
  });
});

describe('toRequest', () => {
  it.each([undefined, 'yesterday'])('has no time for %j', (receivedAt) => {
    expect(toRequest({ ...(receivedAt && { receivedAt }) }).getReceivedAt()).toBeUndefined();
  });

  it.each([
    ['{"a": "x", "b": 7, "c": null}', { a: 'x' }],
    ['no JSON', undefined],
    ['null', undefined],
  ])('reads metadata %j as %j', (metadata, expected) => {
    const texts = toRequest({ metadata }).getMetadata();
    expect(texts).toEqual(expected);
    expect(Object.isFrozen(texts)).toBe(true);
  });

  it('knows neither the text of the request nor its signal, which a broker does not carry', () => {
    const request = toRequest({});
    expect([request.getRawRequest(), request.getSignal()]).toEqual([undefined, undefined]);
  });
});
