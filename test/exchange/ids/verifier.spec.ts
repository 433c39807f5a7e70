import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { derivePair, openId, toPair } from '../../../lib/exchange/ids/id-pair.js';
import { type PairName, isSamePair } from '../../../lib/exchange/ids/pair-history.js';
import { Verifier, type VerifyInput } from '../../../lib/exchange/ids/verifier.js';
import { KeyAttemptBudget } from '../../../lib/exchange/limits/key-attempt-budget.js';
import { Sender } from '../../../lib/exchange/remote.js';
import { sealRequest } from '../../../lib/exchange/index.js';
import { KeyRing } from '../../../lib/keys/index.js';
import { Hmac, type Sealed, parseEnvelope } from '../../../lib/protocol/index.js';
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

function inputOf(envelope: VerifyInput['envelope'], changes: Partial<VerifyInput> = {}, budget = 1000): VerifyInput {
  return {
    envelope,
    sender,
    history: { sent: [LATEST, BEFORE], latest: LATEST, sentAt: 0 },
    isRemembered: true,
    derived: undefined,
    isUsable: () => true,
    knownKey: undefined,
    isFreeOnly: false,
    attempts: new KeyAttemptBudget({ perSecond: 1, burst: budget }).open(
      { high: 1, low: 1, networkHigh: 1, networkLow: 1 },
      16,
      0,
    ),
    ...changes,
  };
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
    expect(verifier.verify(inputOf(envelopeOf(key, IN_STEP)), ring)).toMatchObject({
      key: { device: key!.device },
      isLive: true,
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
      expect(verifier.verify(inputOf(other), ring)).toBeUndefined();
    }
  });

  it('uses the derived bytes of the latest pair instead of deriving them', () => {
    const other = randomBytes(32).toString('latin1');
    const envelope = envelopeOf(keyB, toPair(other));
    expect(verifier.verify(inputOf(envelope, { derived: other }), ring)).toMatchObject({ key: { device: 'b' } });
    expect(verifier.verify(inputOf(envelope), ring)).toBeUndefined();
  });

  it('concludes from a shifted id what the device has unread', () => {
    const found = verifier.verify(inputOf(envelopeOf(keyA, SHIFTED)), ring);
    expect(found).toMatchObject({ key: { device: 'a' }, candidate: { unread: 1, uses: { slot: 2 } } });
  });

  it.each<[string, Verifier, Partial<VerifyInput>]>([
    ['if repair is off', new Verifier(secret, false), {}],
    ['if the history is a guess', verifier, { isRemembered: false }],
  ])('does not try a shifted id %s', (_when, own, changes) => {
    expect(own.verify(inputOf(envelopeOf(keyA, SHIFTED), changes), ring)).toBeUndefined();
    expect(own.verify(inputOf(envelopeOf(keyA, IN_STEP), changes), ring)).toMatchObject({ isLive: true });
  });

  it('accepts no used id in step, and marks a shifted one as not live', () => {
    const isUsable = (pair: PairName) => !isSamePair(pair, LATEST);
    expect(verifier.verify(inputOf(envelopeOf(keyA, IN_STEP), { isUsable }), ring)).toBeUndefined();
    expect(verifier.verify(inputOf(envelopeOf(keyA, SHIFTED), { isUsable }), ring)).toMatchObject({ isLive: false });
  });

  it('tries the known key free of charge, and any other against the budget', () => {
    const own = inputOf(envelopeOf(keyC, IN_STEP), { knownKey: keyC }, 1);
    own.attempts.charge(1000, false);
    expect(verifier.verify(own, ring)).toMatchObject({ key: { device: 'c' } });
    const other = inputOf(envelopeOf(keyA, IN_STEP), { knownKey: keyC }, 1);
    other.attempts.charge(1000, false);
    expect(verifier.verify(other, ring)).toBe('key-attempt-budget');
  });

  it('recognises another device at a known address, if it is in step', () => {
    expect(verifier.verify(inputOf(envelopeOf(keyA, IN_STEP), { knownKey: keyC }), ring)).toMatchObject({
      key: { device: 'a' },
    });
    expect(verifier.verify(inputOf(envelopeOf(keyA, SHIFTED), { knownKey: keyC }), ring)).toBeUndefined();
  });

  it('does not try a known key that has left the ring', () => {
    const smaller = new KeyRing([{ device: 'a', key: Buffer.alloc(32, 'a') }], ring);
    expect(verifier.verify(inputOf(envelopeOf(keyC, IN_STEP), { knownKey: keyC }), smaller)).toBeUndefined();
  });
});
