/**
 * Any bytes of a stranger: a hello is answered, and nothing else is. After some requests in a row that fail although a hello came before
 * each, hellos are withheld, in case it is a board that has old datagrams unread.
 */
import { strict as assert } from 'node:assert';
import { recordings } from '../recordings.mjs';

/** Far enough apart that no limit is reached and no hello is taken for a second copy. */
const STEP_MS = 1000;

/** @type {import('#lib/exchange/index.js').BenUdpRemote} */
const STRANGER = { address: '203.0.113.9', port: 8585, family: 'IPv4' };

/** A pair has 32 bytes. A stranger can't make a server of v1 send more. */
const PAIR = [16, 16];

/** Failures after which hellos are withheld, and hellos that are withheld then. One without a request after it ends that. */
const FAILURES = 3;
const WITHHELD = 40;

/** @type {import('./index.mjs').CreateTarget} */
export function createStrangerTarget({ ServerExchange, KeyRing, REJECTIONS, DEFAULT_LIMITS, deriveKey }, randomFill) {
  const exchange = new ServerExchange({
    random: randomFill,
    keys: new KeyRing([{ device: 'board', key: deriveKey(recordings.keyFile) }], undefined, randomFill),
    maxDatagramBytes: 4096,
    deviceTimeoutMs: 10_000,
    maxEndpoints: 16,
    limits: DEFAULT_LIMITS,
    inFlight: { maxInFlight: 16, maxInFlightPerDevice: 16, maxQueuedEvents: 32 },
    repair: true,
  });
  let now = 0;
  let failures = 0;
  let isRequestAwaited = false;
  return {
    name: 'stranger',
    about: 'one datagram of a stranger',
    dictionary: ['/GETID', 'GETID', '\n', '\0', "{'hash': b'", "', 'data': b'", "', 'iv': b'", "'}"],
    maxBytes: 5000,
    seeds: recordings.datagrams,
    run(input) {
      now += STEP_MS;
      const decision = exchange.receive(input, STRANGER, now);
      if (input.toString('latin1') === '/GETID') {
        const isDraining = failures >= FAILURES;
        const isWithheld = isDraining && failures < FAILURES + WITHHELD && !isRequestAwaited;
        failures = isDraining && !isWithheld ? 0 : failures;
        isRequestAwaited = true;
        if (isWithheld) {
          assert.equal(decision.kind, 'rejected');
          assert.equal(decision.reason, 'withheld');
          return 'withheld';
        }
        assert.equal(decision.kind, 'pair');
        assert.deepEqual(
          decision.datagrams.map(({ length }) => length),
          PAIR,
        );
        return 'pair';
      }
      assert.equal(decision.kind, 'rejected');
      assert.ok(decision.reason in REJECTIONS, decision.reason);
      assert.equal(decision.device, undefined);
      assert.equal(exchange.knownEndpoints, 0);
      if (decision.reason === 'bad-hash' && isRequestAwaited) {
        failures++;
        isRequestAwaited = false;
      }
      return decision.reason;
    },
  };
}
