/**
 * The scenarios of the simulated worlds. Each adds its own expectations to the checks of the ledger.
 */
import { collectGarbage } from '../support/garbage.mjs';
import { Noise } from './noise.mjs';
import { coverPairs } from './pairwise.mjs';
import { V2_SCENARIOS } from './scenarios-v2.mjs';
import { isBelow, percent } from './tallies.mjs';

/**
 * @typedef {object} Stage the surroundings of a scenario.
 * @property {Random} random
 * @property {boolean} isShort whether seconds count: smaller samples, fewer rounds.
 * @property {(options?: import('./world.mjs').WorldOptions) => World} createWorld
 * @property {(options?: import('./world-v2.mjs').V2WorldOptions) => import('./world-v2.mjs').V2World} createV2World
 * @property {(isTrue: boolean, claim: string) => void} expect
 * @property {(note: string) => void} note a figure for the table.
 * @property {(clock: () => number) => void} setWallClock
 *
 * @typedef {Partial<import('#lib/testing/faulty-link.js').LinkFaults>} LinkFaults
 * @typedef {import('#lib/testing/random.js').Random} Random
 * @typedef {import('./world.mjs').World} World
 * @typedef {import('./device.mjs').Device} Device
 * @typedef {import('./ledger.mjs').Request} Request
 */

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/**
 * Messages in a row that a device may lose once faults have stopped, until it is in step again: those that its queue of six datagrams
 * takes, and one more where two pairs in it are the same, as a stranger's are in one slot. Which of them was read can't be told.
 */
const MOST_LOST_IN_A_ROW = 6;

/**
 * When the last of them is lost: a queue of six unread datagrams takes three hellos left unanswered, one a minute, and the first
 * of those may have to wait for its minute.
 */
const HEALED_WITHIN_MS = 4 * MINUTE;

/** A device that seldom speaks takes longer, but loses no more than these. */
const FEW_LOST = 6;

/** Two kinds of board: most keep some unread datagrams, old firmware 4. */
const QUEUES = [4, 6];

/** @type {Record<string, { about: string, play: (stage: Stage) => Promise<void> }>} */
export const SCENARIOS = {
  loss: {
    about: 'losses alone cost no more than each lost datagram does: (1-p)^7 and (1-p)^4',
    async play(stage) {
      for (const loss of [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3]) {
        for (const noreturn of [0, 1]) {
          const expected = (1 - loss) ** (noreturn ? 4 : 7);
          const count = stage.isShort ? 15 : 100;
          let measured = await measureLoss(stage, loss, noreturn, count);
          if (isBelow(expected, measured)) {
            // Once in 700 cells chance alone does this; in a sample four times as large it does not.
            measured = await measureLoss(stage, loss, noreturn, 4 * count);
            stage.expect(
              !isBelow(expected, measured),
              `at ${100 * loss} % loss ${measured.good} of ${measured.all} requests succeed, ${expected} is the share expected`,
            );
          }
          stage.note(`${100 * loss} % ${noreturn ? 'noreturn' : 'replying'} ${percent(measured)}`);
        }
      }
    },
  },

  matrix: {
    about: 'loss, duplicates, reordering, delay, damage: every two of their degrees together',
    async play(stage) {
      const cells = coverPairs(
        {
          loss: [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3],
          burstLoss: [0, 0.01],
          duplicate: [0, 0.001, 0.01, 0.05],
          duplicateMs: [5, 1500],
          reorder: [0, 0.01, 0.1],
          delay: [{ delayMs: 0 }, { delayMs: 15 }, { delayMs: 50, jitterMs: 20 }, { delayMs: 250, jitterMs: 100 }],
          corrupt: [0, 0.02, 0.3],
          truncate: [0, 0.01],
          noreturn: [0, 1],
          datagramGap: [0, 5],
        },
        stage.random,
      );
      const chosen = stage.isShort ? cells.slice(0, 3) : cells;
      for (const { noreturn, datagramGap, delay, ...faults } of chosen) {
        const world = stage.createWorld({ server: { datagramGap } });
        populate(world, stage.isShort ? 6 : 20, () => ({
          pauseMs: [200, 2000],
          noreturn,
          count: stage.isShort ? 25 : 100,
        }));
        await world.startServer();
        setFaults(world, { ...faults, ...delay });
        await runUntilDone(world);
        await expectRecovery(stage, world);
        await world.end();
      }
      stage.note(`${chosen.length} cells`);
    },
  },

  clock: {
    about: 'the edges of slots, to the millisecond and less, and a wall clock that jumps',
    async play(stage) {
      const { random } = stage;
      const world = stage.createWorld({ start: 10 * SECOND * random.between(0, 100_000) });
      for (const offset of [-1, -0.001, 0, 0.001, 1]) {
        for (const noreturn of [0, 1]) {
          world.addDevice({}, { pauseMs: [5000, 5000], noreturn, startMs: 10 * SECOND + offset });
        }
      }
      const thinking = [0, 1, 4999, 9998, 9999, 10_000, 10_001, 15_000, 19_999, 20_000, 20_001, 25_000];
      for (const thinkMs of thinking) {
        const startMs = 10 * SECOND + random.pick([-1, 0, 1, random.float() * 10 * SECOND]);
        world.addDevice({ thinkMs }, { pauseMs: [1, 5000], noreturn: 0.5, startMs });
      }
      stage.setWallClock(() => random.pick([0, 1, -1]) * random.pick([1, 24]) * 3_600_000 + 2 ** 31 * SECOND);
      await world.startServer();
      await world.run(stage.isShort ? 3 * MINUTE : 30 * MINUTE);
      world.isActive = false;
      await world.run(MINUTE);
      for (const request of world.ledger.requests) {
        const { number, beganAt, sealedAt, executions, noreturn, ending } = request;
        const slots = Math.floor((sealedAt ?? Infinity) / (10 * SECOND)) - Math.floor(beganAt / (10 * SECOND));
        const fits = executions === (slots < 2 ? 1 : 0) && (noreturn || ending === (slots < 2 ? 'ok' : 'timeout'));
        stage.expect(
          fits,
          `request ${number}, hello at ${beganAt}, sealed at ${sealedAt}: ${executions} executions, ${ending}`,
        );
      }
      await world.end();
    },
  },

  stalls: {
    about: 'the event loop stands still for 3, 9 and 15 s, and for moments',
    async play(stage) {
      for (const timeout of [10 * SECOND, 2 * SECOND]) {
        const world = stage.createWorld({ server: { timeout } });
        populate(world, stage.isShort ? 8 : 30, () => ({ pauseMs: [100, 1500], noreturn: stage.random.pick([0, 1]) }));
        await world.startServer();
        for (const seconds of stage.isShort ? [0.6, 3, 15] : [0.3, 0.6, 0.8, 1, 2, 3, 9, 15, 3, 9, 15]) {
          await world.run(stage.random.between(20, 60) * SECOND);
          world.running.block(seconds * SECOND);
        }
        await world.run(20 * SECOND);
        await expectRecovery(stage, world);
        // Handlers that compute for a long time, in the middle of a batch.
        populate(world, 5, () => ({
          pauseMs: [20_000, 60_000],
          noreturn: 0.5,
          actions: { block: 0.3 },
          handlerMs: [100, 9000],
        }));
        await world.run(stage.isShort ? MINUTE : 5 * MINUTE);
        for (const { habits } of world.devices) {
          habits.actions = {};
        }
        await world.run(20 * SECOND);
        await expectRecovery(stage, world);
        await world.end();
      }
    },
  },

  shutdown: {
    about: 'close() at any moment, with handlers of 0 to 8 s and some that hang',
    async play(stage) {
      const { random } = stage;
      for (let round = 0; round < (stage.isShort ? 10 : 50); round++) {
        const shutdownTimeout = random.pick([0, 1, 500, 3000, 10_000]);
        const world = stage.createWorld({ server: { shutdownTimeout, datagramGap: random.pick([0, 0, 5]) } });
        const hang = random.pick([0, 0, 0.05]);
        populate(world, 20, () => ({
          pauseMs: [1, 500],
          noreturn: 0.3,
          actions: { slow: 0.5, hang, fail: 0.1 },
          handlerMs: [0, 8000],
        }));
        setFaults(world, {
          delayMs: random.pick([0, 30]),
          jitterMs: random.pick([0, 20]),
          loss: random.pick([0, 0.02]),
        });
        await world.startServer();
        await world.run(random.float() * 20 * SECOND);
        const calledAt = world.timeline.now;
        const state = await world.closeServer();
        await world.run(shutdownTimeout + 5 * SECOND);
        const tookMs = state.closedAt - calledAt;
        const { executions } = world.ledger.counts;
        stage.expect(
          state.isClosed && tookMs <= shutdownTimeout + 500,
          `close() took ${tookMs.toFixed(0)} ms, shutdownTimeout is ${shutdownTimeout}`,
        );
        stage.expect(
          state.ended + state.running === executions,
          `${executions} handlers began, ${state.ended} were reported, ${state.running} ran at the end of close()`,
        );
        world.isActive = false;
        await world.run(MINUTE);
        stage.expect(world.running.timers === 0, `${world.running.timers} timers after close()`);
      }
    },
  },

  restarts: {
    about: 'the server is killed or closed and started again, and everything recorded before is sent again',
    async play(stage) {
      const { random } = stage;
      const world = stage.createWorld();
      populate(world, stage.isShort ? 6 : 20, () => ({ pauseMs: [100, 1000], noreturn: random.pick([0, 1]) }));
      setFaults(world, { delayMs: 10, jitterMs: 5 });
      await world.startServer();
      const noise = new Noise(world, { replays: 5 });
      for (let round = 0; round < (stage.isShort ? 10 : 100); round++) {
        await world.run(random.float() * 20 * SECOND);
        await restart(world, random);
        const startedAt = world.timeline.now;
        for (const { datagram, address, port } of world.recorded) {
          world.spoof(datagram, address, port);
        }
        await world.run(12 * SECOND);
        stage.expect(
          world.ledger.requests.some(({ ending, endedAt }) => ending === 'ok' && (endedAt ?? 0) > startedAt),
          'no request succeeded within the timeout and 2 s after a restart',
        );
      }
      noise.stop();
      await expectRecovery(stage, world);
      await world.end();
    },
  },

  keys: {
    about: '1 to 50 keys; replaced under load without a failure, and refused once they are taken away',
    async play(stage) {
      for (const count of stage.isShort ? [1, 50] : [1, 2, 5, 20, 50]) {
        const world = stage.createWorld();
        const devices = populate(world, Math.max(10, count), (index) => ({
          keyName: `key ${index % count}`,
          pauseMs: [100, 3000],
          noreturn: stage.random.pick([0, 1]),
        }));
        setFaults(world, { delayMs: 10, jitterMs: 5 });
        await world.startServer();
        await world.run(MINUTE);
        await replaceKeys(stage, world);
        await world.run(MINUTE);
        const lost = lostOf(endedRequestsOf(world));
        stage.expect(lost.length === 0, `${lost.length} requests failed while keys were replaced`);
        // Taken away: the last key, if it is not the only one.
        const { [`key ${count - 1}`]: revoked, ...others } = world.keys;
        if (count > 1) {
          await world.reloadKeys({ ...others, other: stage.random.bytes(32) });
          const since = world.timeline.now;
          await world.run(MINUTE);
          const wrong = endedRequestsOf(world, since).filter(({ keyName, executions }) => {
            return executions !== (keyName === `key ${count - 1}` ? 0 : 1);
          });
          stage.expect(wrong.length === 0, `${wrong.length} requests went wrong after a key was taken away`);
        }
        stage.expect(revoked !== undefined && devices.length >= count, 'the scenario has its keys');
        await world.end();
      }
    },
  },

  handlers: {
    about: 'handlers that are slow, throw, hang or emit many values, and caps on how many run',
    async play(stage) {
      // Handlers that hang count in all for ever, so there is room for them.
      // The ledger expects a handler to begin when its request is read.
      const limits = { maxInFlight: 1000, maxInFlightPerDevice: 2, maxQueuedEvents: 0 };
      const world = stage.createWorld({ server: limits });
      const quiet = populate(world, 10, () => ({ pauseMs: [500, 2000], noreturn: 0.2 }));
      setFaults(world, { delayMs: 20, jitterMs: 5 });
      await world.startServer();
      await world.run(2 * MINUTE);
      const before = latenciesOf(world, quiet);
      populate(world, 10, () => ({
        pauseMs: [100, 3000],
        noreturn: 0.3,
        actions: { slow: 0.1, fail: 0.05, hang: 0.01, many: 0.1 },
        handlerMs: [9000, 15_000],
      }));
      const changedAt = world.timeline.now;
      await world.run(stage.isShort ? 5 * MINUTE : 30 * MINUTE);
      const after = latenciesOf(world, quiet, changedAt);
      stage.expect(
        quantile(after, 0.99) <= 1.2 * quantile(before, 0.99),
        `the others waited ${quantile(after, 0.99)} ms instead of ${quantile(before, 0.99)} ms (p99)`,
      );
      const { most, mostOfOne } = world.handlers;
      stage.expect(
        most <= limits.maxInFlight && mostOfOne <= limits.maxInFlightPerDevice,
        `${most} handlers ran at once, ${mostOfOne} of one device`,
      );
      stage.note(`at most ${most} at once, ${mostOfOne} of a device`);
      const stuckHandlers = world.ledger.requests.filter(({ action, executions }) => action === 'hang' && executions);
      await world.end({ stuckHandlers: stuckHandlers.length });
    },
  },

  mishaps: {
    about: 'one stray, doubled, late or forged datagram, with and without a restart: at most 3 messages lost',
    async play(stage) {
      for (const [name, { strike, bound = 3 }] of Object.entries(MISHAPS)) {
        for (const isRestarted of [false, true]) {
          const world = stage.createWorld();
          const devices = populate(world, stage.isShort ? 10 : 100, (index) => ({
            queueSlots: 6,
            pauseMs: [2000, 30_000],
            noreturn: index % 2,
          }));
          setFaults(world, { delayMs: 20, jitterMs: 5 });
          await world.startServer();
          await world.run(MINUTE);
          const struckAt = world.timeline.now;
          for (const device of devices) {
            strike(world, device);
          }
          await world.run(SECOND);
          if (isRestarted) {
            await restart(world, stage.random);
          }
          await world.run(10 * MINUTE);
          const requests = endedRequestsOf(world, struckAt);
          for (const device of devices) {
            const lost = lostOf(ofDevice(requests, device));
            stage.expect(
              lost.length <= bound,
              `after ${name}${isRestarted ? ' and a restart' : ''} ${device.name} lost ${lost.length} messages`,
            );
          }
          await world.end();
        }
      }
    },
  },

  'one-slot': {
    about: 'boards that hold one unread datagram: served where datagramGap is longer than their polls, else not',
    async play(stage) {
      for (const readMs of [0, 2, 5, 10]) {
        for (const datagramGap of [0, 5, 12]) {
          const world = stage.createWorld({ server: { datagramGap } });
          populate(world, 10, () => ({
            queueSlots: 1,
            readMs,
            pauseMs: [100, 1000],
            noreturn: 0.3,
            count: stage.isShort ? 10 : 100,
          }));
          setFaults(world, { delayMs: 20 });
          await world.startServer();
          await world.run(stage.isShort ? 3 * MINUTE : 20 * MINUTE);
          const tally = tallyOf(endedRequestsOf(world));
          if (readMs <= datagramGap || readMs === 0) {
            stage.expect(tally.good === tally.all, `polls ${readMs} ms, gap ${datagramGap} ms: ${percent(tally)}`);
          } else {
            // Kept as evidence that the case is real.
            stage.expect(tally.good < tally.all, `polls ${readMs} ms, gap ${datagramGap} ms: all succeed`);
          }
          stage.note(`poll ${readMs} gap ${datagramGap}: ${percent(tally)}`);
          await world.end();
        }
      }
    },
  },

  mobility: {
    about: 'ports that a NAT changes, and a network that is cut for seconds again and again',
    async play(stage) {
      const { random } = stage;
      const world = stage.createWorld();
      populate(world, 20, () => ({ pauseMs: [100, 3000], noreturn: random.pick([0, 1]) }));
      setFaults(world, { delayMs: 40, jitterMs: 20 });
      await world.startServer();
      for (let round = 0; round < (stage.isShort ? 20 : 200); round++) {
        await world.run(random.float() * 5 * SECOND);
        world.rebind(random.pick(world.devices));
        for (const link of random.chance(0.3) ? [world.up, world.down] : [random.pick([world.up, world.down])]) {
          link.cutUntil = world.timeline.now + random.float() * 5 * SECOND;
        }
      }
      await world.run(10 * SECOND);
      await expectRecovery(stage, world);
      await world.end();
    },
  },

  hostile: {
    about: 'forged hellos, junk, replays, mutants and stray datagrams for devices, on a bad network',
    async play(stage) {
      const world = stage.createWorld();
      populate(world, 20, () => ({ pauseMs: [100, 3000], noreturn: stage.random.pick([0, 1]) }));
      setFaults(world, { loss: 0.02, duplicate: 0.01, reorder: 0.01, delayMs: 30, jitterMs: 10, corrupt: 0.01 });
      await world.startServer();
      const noise = new Noise(world, {
        forgedHellos: 2,
        strangersHellos: 50,
        junk: 20,
        replays: 10,
        mutants: 10,
        strays: 0.3,
      });
      await world.run(stage.isShort ? 2 * MINUTE : 20 * MINUTE);
      noise.stop();
      const tally = tallyOf(endedRequestsOf(world));
      stage.note(`meanwhile ${percent(tally)}`);
      await expectRecovery(stage, world);
      await world.end();
    },
  },

  limits: {
    about: 'tables and caps so small that they are always full',
    async play(stage) {
      const maxEndpoints = stage.random.pick([1, 4, 8]);
      const rate = { perSecond: 5, burst: 5 };
      const world = stage.createWorld({
        server: {
          maxEndpoints,
          maxInFlight: 3,
          maxInFlightPerDevice: 1,
          maxQueuedEvents: 0,
          limits: {
            hellosPerSource: rate,
            hellosOfStrangers: rate,
            failuresPerSource: rate,
            requestsOfStrangers: rate,
          },
        },
      });
      populate(world, 20, () => ({
        pauseMs: [100, 20_000],
        noreturn: 0.5,
        actions: { slow: 0.3 },
        handlerMs: [0, 5000],
      }));
      setFaults(world, { duplicate: 0.05, delayMs: 20, jitterMs: 10 });
      await world.startServer();
      const noise = new Noise(world, { strangersHellos: 3, junk: 3, replays: 5 });
      for (let round = 0; round < (stage.isShort ? 5 : 30); round++) {
        await world.run(20 * SECOND);
        world.checkBooks();
      }
      noise.stop();
      const { rejected } = world.ledger.counts;
      stage.note(`table-full ${rejected['table-full'] ?? 0}, busy ${rejected['busy'] ?? 0}`);
      await world.end();
    },
  },

  flood: {
    about: 'hellos and junk from a million sources, 150 000 a second: known devices at least 95 %, no memory',
    async play(stage) {
      const world = stage.createWorld({ machine: { datagramCostMs: 0.003, bufferedDatagrams: 10_082 } });
      populate(world, 200, (index) => ({ pauseMs: [500, 1500], noreturn: index % 2, keyName: `key ${index % 20}` }));
      setFaults(world, { delayMs: 5, jitterMs: 2 });
      await world.startServer();
      await world.run(10 * SECOND);
      const memoryBefore = usedMemory();
      const floodedAt = world.timeline.now;
      const end = floodedAt + (stage.isShort ? 1 : 10) * SECOND;
      const flood = () => {
        for (let count = 0; count < 150; count++) {
          // 2^20 addresses. A tenth is junk.
          const source = stage.random.below(1 << 20);
          world.spoof(
            count % 10 === 0 ? JUNK : HELLO,
            `77.${source >> 16}.${(source >> 8) & 255}.${source & 255}`,
            8585,
          );
        }
        if (world.timeline.now < end) {
          world.timeline.after(1, flood);
        }
      };
      flood();
      await world.run(end - floodedAt);
      const grown = usedMemory() - memoryBefore;
      await world.run(SECOND);
      const after = world.timeline.now;
      await world.run(20 * SECOND);
      const during = tallyOf(endedRequestsOf(world, floodedAt).filter(({ beganAt }) => beganAt < end));
      stage.expect(during.good >= 0.95 * during.all, `${percent(during)} of the known devices' requests succeed`);
      stage.expect(grown <= 32 * 2 ** 20, `memory grew by ${(grown / 2 ** 20).toFixed(1)} MiB`);
      stage.expect(world.transport.getStats().endpoints === 200, 'only devices are remembered');
      stage.note(
        `${percent(during)}, memory ${(grown / 2 ** 20).toFixed(1)} MiB, ${world.running.overflowed} overflowed`,
      );
      const later = tallyOf(endedRequestsOf(world, after));
      stage.expect(later.good === later.all, `a second after the flood ${percent(later)} of requests succeed`);
      await world.end();
    },
  },

  random: {
    about: 'a world of chance: any options, any faults, changing all the time',
    async play(stage) {
      const { random } = stage;
      const world = stage.createWorld({
        start: random.below(1e9),
        server: {
          timeout: random.pick([2000, 10_000, 10_000, 30_000]),
          datagramGap: random.pick([0, 0, 0, 5]),
          maxEndpoints: random.pick([16, 65_536]),
          maxInFlightPerDevice: random.pick([1, 16]),
          maxQueuedEvents: 0,
          shutdownTimeout: random.pick([0, 1000, 10_000]),
          errorReply: 'null',
        },
        machine: { lateMs: random.pick([0, 1, 20]), datagramCostMs: random.pick([0, 0.01, 1]) },
      });
      const keys = random.pick([1, 3, 12]);
      populate(world, random.between(1, 12), (index) => ({
        keyName: `key ${index % keys}`,
        queueSlots: random.pick(QUEUES),
        readMs: random.pick([0, 0, 1, 30]),
        thinkMs: random.pick([0, 0, 50, 400]),
        pauseMs: [random.pick([1, 500, 5000]), random.pick([5000, 30_000])],
        noreturn: random.pick([0, 0.5, 1]),
        actions: { slow: random.pick([0, 0.1]), fail: random.pick([0, 0.1]), many: random.pick([0, 0.1]) },
        handlerMs: [0, random.pick([100, 12_000])],
      }));
      await world.startServer();
      for (let phase = random.between(2, stage.isShort ? 4 : 10); phase > 0; phase--) {
        await playRandomPhase(world, random);
      }
      setFaults(world, {});
      await world.run(30 * SECOND);
      for (const { habits } of world.devices) {
        habits.actions = {};
      }
      await world.run(15 * SECOND);
      await expectRecovery(stage, world);
      await world.end();
    },
  },
  ...V2_SCENARIOS,
};

const HELLO = Buffer.from('/GETID');
const JUNK = Buffer.from(`{'hash': b'${'h'.repeat(32)}', 'data': b'${'d'.repeat(64)}', 'iv': b'${'i'.repeat(16)}'}`);

/**
 * What strikes a device, as `test/exchange/repair.slow.spec.ts` has it without a network.
 *
 * @type {Record<string, { strike: (world: World, device: Device) => void, bound?: number }>}
 */
const MISHAPS = {
  'a stray block': { strike: (world, device) => device.receive(world.random.bytes(16)) },
  'a stray datagram of another size': { strike: (world, device) => device.receive(world.random.bytes(5)) },
  'a stray hash': { strike: (world, device) => device.receive(world.random.bytes(32)) },
  'two stray blocks': {
    strike: (world, device) => [1, 2].forEach(() => device.receive(world.random.bytes(16))),
    bound: 4,
  },
  'a forged hello': { strike: (world, device) => world.spoof(HELLO, device.address, device.port) },
  'a late reply': {
    strike: (world, device) => [32, 16, 48].forEach((length) => device.receive(world.random.bytes(length))),
    bound: 5,
  },
};

/**
 * @param {World} world
 * @param {number} count
 * @param {(index: number) => import('./world.mjs').Habits & Parameters<World['addDevice']>[0]} describe
 */
function populate(world, count, describe) {
  return Array.from({ length: count }, (_, index) => {
    const { pauseMs, noreturn, actions, handlerMs, count: times, startMs, ...options } = describe(index);
    const habits = { pauseMs, noreturn, actions, handlerMs, count: times, startMs };
    // Few keys: each further key raises the cost of junk.
    return world.addDevice({ queueSlots: world.random.pick(QUEUES), keyName: `key ${index % 2}`, ...options }, habits);
  });
}

/**
 * @param {World} world
 * @param {LinkFaults} faults
 */
function setFaults(world, faults) {
  world.up.setFaults(faults);
  world.down.setFaults(faults);
}

/**
 * @param {World} world
 * @param {Random} random
 */
async function restart(world, random) {
  if (random.chance(0.7)) {
    world.killServer();
  } else {
    await world.closeServer();
    await world.run(11 * SECOND);
  }
  await world.run(random.float() * 3 * SECOND);
  await world.startServer();
}

/**
 * @param {World} world
 * @param {Random} random
 */
async function playRandomPhase(world, random) {
  const maybe = (/** @type {readonly number[]} */ values) => (random.chance(0.3) ? random.pick(values) : 0);
  const draw = () => ({
    loss: maybe([0.01, 0.05, 0.3]),
    burstLoss: maybe([0.01, 0.05]),
    duplicate: maybe([0.01, 0.2]),
    duplicateMs: random.pick([0, 5, 300, 3000]),
    reorder: maybe([0.01, 0.1]),
    delayMs: random.pick([0, 15, 50, 250, 900]),
    jitterMs: random.pick([0, 0, 10]),
    corrupt: maybe([0.01, 0.1]),
    truncate: maybe([0.01, 0.05]),
  });
  world.up.setFaults(draw());
  world.down.setFaults(draw());
  const noise = new Noise(world, {
    forgedHellos: maybe([0.1, 2]),
    strangersHellos: maybe([1, 50]),
    junk: maybe([1, 20]),
    replays: maybe([1, 20]),
    mutants: maybe([1, 20]),
    strays: maybe([0.1, 1]),
  });
  const steps = random.between(1, 4);
  for (let step = 0; step < steps; step++) {
    await world.run(random.float() * 30 * SECOND);
    if (random.chance(0.2)) {
      world.running.block(random.pick([300, 800, 3000, 12_000]));
    }
    if (random.chance(0.2)) {
      world.rebind(random.pick(world.devices));
    }
    if (random.chance(0.2)) {
      random.pick([world.up, world.down]).cutUntil = world.timeline.now + random.float() * 15 * SECOND;
    }
  }
  noise.stop();
  if (random.chance(0.3)) {
    await restart(world, random);
  }
}

/** @param {World} world */
async function runUntilDone(world) {
  while (!world.isDone) {
    await world.run(10 * SECOND);
  }
}

/**
 * Faults have stopped: every device must be heard again soon, and then always.
 *
 * @param {Stage} stage
 * @param {World} world
 */
async function expectRecovery(stage, world) {
  setFaults(world, {});
  // Datagrams on their way, and devices that wait for lost ones.
  await world.run(2 * world.timeoutMs);
  world.resume();
  const since = world.timeline.now;
  await world.run(HEALED_WITHIN_MS + 2 * MINUTE);
  const all = endedRequestsOf(world, since);
  for (const device of world.devices) {
    const requests = ofDevice(all, device);
    const lost = lostOf(requests);
    const last = lost.at(-1);
    const row = longestRow(requests);
    stage.expect(
      row <= MOST_LOST_IN_A_ROW && (!last || last.beganAt < since + HEALED_WITHIN_MS || lost.length <= FEW_LOST),
      `${device.name} lost ${lost.length} messages after all faults had stopped at ${since.toFixed(0)}, up to ${row} in a row, ` +
        `the last at ${last?.beganAt.toFixed(0)}`,
    );
  }
}

/**
 * Whether a request had its purpose fulfilled.
 *
 * @param {Request} request
 */
function isGood({ noreturn, executions, ending }) {
  return noreturn ? executions === 1 : ending === 'ok';
}

/**
 * Requests since a time that ended at least a second ago. If one of them reaches the server at all, it has reached it.
 *
 * @param {World} world
 */
function endedRequestsOf(world, since = 0) {
  const until = world.timeline.now - SECOND;
  return world.ledger.requests.filter(({ beganAt, endedAt }) => beganAt >= since && (endedAt ?? Infinity) < until);
}

/**
 * @param {readonly Request[]} requests
 * @param {Device} device
 */
function ofDevice(requests, { name }) {
  return requests.filter(({ device }) => device === name);
}

/** @param {readonly Request[]} requests */
function lostOf(requests) {
  return requests.filter((request) => !isGood(request));
}

/**
 * The most that are lost in a row.
 *
 * @param {readonly Request[]} requests
 */
function longestRow(requests) {
  let longest = 0;
  let row = 0;
  for (const request of requests) {
    row = isGood(request) ? 0 : row + 1;
    longest = Math.max(longest, row);
  }
  return longest;
}

/** @param {readonly Request[]} requests */
function tallyOf(requests) {
  return { good: requests.filter(isGood).length, all: requests.length };
}

/**
 * @param {Stage} stage
 * @param {number} loss
 * @param {number} noreturn the share of requests
 * @param {number} count of requests
 */
async function measureLoss(stage, loss, noreturn, count) {
  const world = stage.createWorld();
  populate(world, 20, () => ({ pauseMs: [300, 1500], noreturn, count }));
  setFaults(world, { loss, delayMs: 10 });
  await world.startServer();
  await runUntilDone(world);
  await world.end();
  return tallyOf(endedRequestsOf(world));
}

/**
 * A new key for each name next to the old one; the devices take it one by one; then the old ones go.
 *
 * @param {Stage} stage
 * @param {World} world
 */
async function replaceKeys(stage, world) {
  const old = world.keys;
  const fresh = Object.fromEntries(Object.keys(old).map((name) => [name, stage.random.bytes(32)]));
  await world.reloadKeys(Object.fromEntries(Object.keys(old).map((name) => [name, [old[name], fresh[name]].flat()])));
  for (const device of world.devices) {
    await world.run(stage.random.float() * SECOND);
    while (device.isBusy) {
      await world.run(10);
    }
    world.rekey(device, fresh[device.options.keyName ?? '']);
  }
  await world.run(SECOND);
  await world.reloadKeys(fresh);
}

/**
 * @param {World} world
 * @param {readonly Device[]} devices
 */
function latenciesOf(world, devices, since = 0) {
  const names = new Set(devices.map(({ name }) => name));
  return world.ledger.requests
    .filter(({ device, noreturn, ending, beganAt }) => names.has(device) && !noreturn && ending && beganAt >= since)
    .map(({ beganAt, endedAt }) => (endedAt ?? NaN) - beganAt)
    .toSorted((a, b) => a - b);
}

/**
 * @param {readonly number[]} sorted
 * @param {number} share
 */
function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}

/** Bytes in use after a collection. */
function usedMemory() {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
