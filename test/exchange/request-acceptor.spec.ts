/** Requests that verify and get no handler: which of them are told so. Whole exchanges are in server-exchange.spec.ts. */
import { describe, expect, it } from 'vitest';
import type { Decision } from '../../lib/exchange/index.js';
import { PureDevice, createServer } from '../support/pure-device.js';

const TIMEOUT_MS = 10_000;
const UNREADABLE = "{'action': true}";

/** Whether a rejected request is answered with a refusal, with datagrams that end its wait, or not at all. */
function answerOf(decision: Decision): string {
  if (decision.kind !== 'rejected') {
    return decision.kind;
  }
  const answer = decision.pending
    ? 'refusal'
    : decision.datagrams
      ? `${decision.datagrams.length} datagrams`
      : 'nothing';
  return `${decision.reason}: ${answer}`;
}

/** A server and a device whose hello was answered at 0. */
function start(waited = 0) {
  const server = createServer({ deviceTimeoutMs: TIMEOUT_MS });
  const device = new PureDevice(server);
  device.hello(0);
  const request = (text: string) => server.receive(device.envelope(text), device.remote, waited, waited);
  return { server, device, request };
}

describe('an unreadable request that verifies', () => {
  it('is told so', () => {
    expect(answerOf(start().request(UNREADABLE))).toBe('bad-text: refusal');
  });

  it('is told nothing if it looks like noreturn', () => {
    expect(answerOf(start().request("{'action': true, 'noreturn': True}"))).toBe('bad-text: nothing');
  });

  it('is told nothing if it waited for so long that its device has given up', () => {
    expect(answerOf(start(TIMEOUT_MS * 0.9).request(UNREADABLE))).toBe('bad-text: refusal');
    expect(answerOf(start(TIMEOUT_MS * 0.9 + 1).request(UNREADABLE))).toBe('bad-text: nothing');
  });
});

describe('a pair that is under way', () => {
  it('is awaited until a request has used it', () => {
    const { server, device } = start();
    expect(server.awaitsRequests(1)).toBe(true);
    device.request(1);
    expect(server.awaitsRequests(1)).toBe(false);
  });
});
