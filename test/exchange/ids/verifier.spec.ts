import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Endpoint } from '../../../lib/exchange/endpoint.js';
import { derivePair, openId, toPair } from '../../../lib/exchange/ids/id-pair.js';
import type { SearchResult } from '../../../lib/exchange/ids/key-search.js';
import type { PairName } from '../../../lib/exchange/ids/pair-history.js';
import { type Claim, Verifier, isUsable } from '../../../lib/exchange/ids/verifier.js';
import { Holders } from '../../../lib/exchange/limits/holder.js';
import { KeyAttemptBudget } from '../../../lib/exchange/limits/key-attempt-budget.js';
import { Sender } from '../../../lib/exchange/remote.js';
import { sealRequest } from '../../../lib/exchange/index.js';
import { KeyRing } from '../../../lib/keys/index.js';
import { BLOCK_BYTES, Hmac, type Sealed, digest, parseEnvelope } from '../../../lib/protocol/index.js';
import { remoteOf } from '../../support/pure-device.js';

const secret = new Hmac(Buffer.alloc(32, 's'));
const sender = new Sender(remoteOf('10.0.0.1'));
const ring = new KeyRing(['a', 'b', 'c'].map((device) => ({ device, key: Buffer.alloc(32, device) })));
const [keyA, keyB, keyC] = ring.keys;
const LATEST = { slot: 2, n: 0, isSingle: false };
const BEFORE = { slot: 1, n: 0, isSingle: false };

const pairOf = ({ slot, n }: PairName): Sealed => toPair(derivePair(secret, sender.name, slot, n));

/** A request that a device with this key seals under the id of two datagrams. */
function envelopeOf(key: typeof keyA, sealedId: Sealed) {
  const envelope = parseEnvelope(sealRequest(key!.sealer, openId(key!.sealer, sealedId), "{'action': 1}"));
  if (typeof envelope === 'string') {
    throw new Error(envelope);
  }
  return envelope;
}

function claimOf(envelope: Claim['envelope'], changes: Partial<Claim> = {}): Claim {
  return {
    envelope,
    sender,
    slot: LATEST.slot,
    known: undefined,
    sent: { sent: [LATEST, BEFORE], latest: LATEST, sentAt: 0 },
    ...changes,
  };
}

/** A claim of an endpoint that has verified under this key, and was sent both pairs. */
function knownClaimOf(envelope: Claim['envelope'], key: typeof keyA, change?: (endpoint: Endpoint) => void): Claim {
  const history = { sent: [LATEST, BEFORE], latest: LATEST, sentAt: 0 };
  const known = new Endpoint(key!, history, new Holders().of('holder'));
  change?.(known);
  return claimOf(envelope, { known, sent: known });
}

/** The likely key, then a search to its end. */
function verify(verifier: Verifier, claim: Claim, { keys = ring, budget = 1000 } = {}): SearchResult {
  const charge = new KeyAttemptBudget({ perSecond: 1, burst: Math.max(1, budget) }).open(
    { high: 1, low: 1, networkHigh: 1, networkLow: 1 },
    16,
    0,
  );
  if (budget === 0) {
    charge.take(1000, false);
  }
  const known = claim.known?.key;
  const likely = known && keys.has(known) ? [known] : [];
  return verifier.tryLikely(claim, likely) ?? verifier.search(claim, keys, charge).run(Infinity)!;
}

const IN_STEP = pairOf(LATEST);
/** The datagrams that a device with one unread datagram reads: the end of one pair and the beginning of the next. */
const SHIFTED = { ciphertext: pairOf(BEFORE).iv, iv: IN_STEP.ciphertext };

describe('Verifier', () => {
  const verifier = new Verifier(secret, true);

  it.each([
    ['first', keyA],
    ['last', keyC],
  ])('finds the %s key of the ring by the hash', (_which, key) => {
    expect(verify(verifier, claimOf(envelopeOf(key, IN_STEP)))).toMatchObject({
      key: { device: key!.device },
      candidate: { unread: 0, uses: { slot: 2, n: 0 } },
    });
  });

  it('finds nothing for a key outside the ring, for another id and for other data', () => {
    const stranger = new KeyRing([{ device: 'd', key: Buffer.alloc(32, 'd') }]).keys[0];
    const envelope = envelopeOf(keyA, IN_STEP);
    const others = [
      envelopeOf(stranger, IN_STEP),
      envelopeOf(keyA, { ciphertext: randomBytes(16), iv: randomBytes(16) }),
      { ...envelope, data: randomBytes(envelope.data.length) },
    ];
    for (const other of others) {
      expect(verify(verifier, claimOf(other))).toBe('bad-hash');
    }
  });

  it('uses the derived bytes of the latest pair instead of deriving them', () => {
    const other = randomBytes(32).toString('latin1');
    const envelope = envelopeOf(keyB, toPair(other));
    const derived = knownClaimOf(envelope, keyB, (endpoint) => (endpoint.derived = other));
    expect(verify(verifier, derived)).toMatchObject({ key: { device: 'b' } });
    expect(verify(verifier, knownClaimOf(envelope, keyB))).toBe('bad-hash');
  });

  it('concludes from a shifted id what the device has unread', () => {
    expect(verify(verifier, claimOf(envelopeOf(keyA, SHIFTED)))).toMatchObject({
      key: { device: 'a' },
      candidate: { unread: 1, uses: { slot: 2 } },
    });
  });

  it.each<[string, Verifier, Partial<Claim>]>([
    ['if repair is off', new Verifier(secret, false), {}],
    ['if it is not remembered what the endpoint was sent', verifier, { sent: undefined }],
  ])('does not try a shifted id %s', (_when, own, changes) => {
    expect(verify(own, claimOf(envelopeOf(keyA, SHIFTED), changes))).toBe('bad-hash');
    expect(verify(own, claimOf(envelopeOf(keyA, IN_STEP), changes))).toMatchObject({ key: { device: 'a' } });
  });

  it('tries the first pairs of both slots if it is not remembered what the endpoint was sent', () => {
    const outcomes = [1, 2, 3, 4].map((slot) =>
      verify(verifier, claimOf(envelopeOf(keyA, IN_STEP), { sent: undefined, slot })),
    );
    expect(outcomes.map((outcome) => typeof outcome === 'object')).toEqual([false, true, true, false]);
  });

  it('finds no used id in step, and a shifted one is not usable', () => {
    const consume = (endpoint: Endpoint) => endpoint.consume(LATEST, LATEST.slot);
    expect(verify(verifier, knownClaimOf(envelopeOf(keyA, IN_STEP), keyA, consume))).toBe('bad-hash');
    const shifted = knownClaimOf(envelopeOf(keyA, SHIFTED), keyA, consume);
    const found = verify(verifier, shifted);
    expect(found).toMatchObject({ key: { device: 'a' } });
    expect(typeof found === 'object' && isUsable(shifted, found.candidate.uses)).toBe(false);
  });

  it('tries the known key free of charge, and any other against the budget', () => {
    const empty = { budget: 0 };
    expect(verify(verifier, knownClaimOf(envelopeOf(keyC, IN_STEP), keyC), empty)).toMatchObject({
      key: { device: 'c' },
    });
    expect(verify(verifier, knownClaimOf(envelopeOf(keyA, IN_STEP), keyC), empty)).toBe('key-attempt-budget');
  });

  it('recognises another device at a known address, if it is in step', () => {
    expect(verify(verifier, knownClaimOf(envelopeOf(keyA, IN_STEP), keyC))).toMatchObject({ key: { device: 'a' } });
    expect(verify(verifier, knownClaimOf(envelopeOf(keyA, SHIFTED), keyC))).toBe('bad-hash');
  });

  it('does not try a known key that has left the ring', () => {
    const keys = new KeyRing([{ device: 'a', key: Buffer.alloc(32, 'a') }], ring);
    expect(verify(verifier, knownClaimOf(envelopeOf(keyC, IN_STEP), keyC), { keys })).toBe('bad-hash');
  });
});

describe('a key that has left the ring', () => {
  it('is no match for a request whose hash holds the bytes that it leaves behind', () => {
    const left = new KeyRing([{ device: 'left', key: randomBytes(32) }]).keys[0]!;
    left.leave();
    const { data, iv } = envelopeOf(keyA, pairOf(LATEST));
    const ofZeros = digest(Buffer.alloc(BLOCK_BYTES), data, iv);
    const verifier = new Verifier(secret, true);
    expect(verifier.tryLikely(claimOf({ hash: ofZeros, data, iv }), [left])).toBeUndefined();
  });
});
