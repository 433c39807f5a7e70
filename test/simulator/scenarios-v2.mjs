/** The scenarios of protocol v2. The world checks each request when it ends. */
import { isBelow, percent } from './tallies.mjs';

/**
 * @typedef {import('./scenarios.mjs').Stage} Stage
 * @typedef {import('./scenarios.mjs').LinkFaults} LinkFaults
 * @typedef {import('./world-v2.mjs').V2World} V2World
 */

const SECOND = 1000;

/** Transmissions of a datagram. */
const ATTEMPTS = 5;

/** A request that begins this long after the server is up again notices nothing of a restart: a second, and the way of the GRANT. */
const QUIET_AFTER_START_MS = 1015;

/** @type {Record<string, { about: string, play: (stage: Stage) => Promise<void> }>} */
export const V2_SCENARIOS = {
  'v2-loss': {
    about: 'v2: losses alone cost no more than all five transmissions of a datagram being lost does',
    async play(stage) {
      for (const loss of stage.isShort ? [0.3] : [0, 0.1, 0.2, 0.3]) {
        const expected = shareAt(loss);
        let measured = await measureLoss(stage, loss, stage.isShort ? 25 : 100);
        if (isBelow(expected, measured)) {
          measured = await measureLoss(stage, loss, stage.isShort ? 100 : 400);
          stage.expect(
            !isBelow(expected, measured),
            `at ${100 * loss} % loss ${measured.good} of ${measured.all} requests succeed, ${expected} is the share expected`,
          );
        }
        stage.note(`${100 * loss} % ${percent(measured)} of ${percent({ good: expected, all: 1 })}`);
      }
    },
  },

  'v2-hostile': {
    about:
      'v2 beside v1: a bad network, recordings sent to both sides, forged AGAIN, boards that restart or change their port',
    async play(stage) {
      const { random } = stage;
      const world = stage.createV2World();
      populate(world, { moved: 10, others: 5 }, { pauseMs: [100, 3000], noreturn: 0.3 });
      await world.startServer();
      world.setAttack(100);
      for (let round = 0; round < (stage.isShort ? 4 : 60); round++) {
        setFaults(world, drawFaults(random));
        for (let step = 0; step < 5; step++) {
          await world.run(random.float() * 5 * SECOND);
          const board = random.pick(world.boards);
          if (board.protocol === 'v2') {
            random.pick([() => board.client.powerUp(), () => world.rebind(board), () => undefined])();
          }
        }
      }
      stage.note(`meanwhile ${percent(tallyOf(world))}`);
      world.setAttack(0);
      await expectRecovery(stage, world);
      await world.end();
    },
  },

  'v2-restarts': {
    about: 'v2 beside v1: the server is killed and started again, and everything recorded is sent again',
    async play(stage) {
      const { random } = stage;
      const world = stage.createV2World();
      populate(world, { moved: 10, others: 5 }, { pauseMs: [100, 1000], noreturn: 0.3 });
      setFaults(world, { delayMs: 10, jitterMs: 5 });
      await world.startServer();
      world.setAttack(200);
      for (let round = 0; round < (stage.isShort ? 3 : 50); round++) {
        await world.run(random.float() * 10 * SECOND);
        world.killServer();
        await world.run(random.float() * 3 * SECOND);
        await world.startServer();
        const since = world.timeline.now + QUIET_AFTER_START_MS;
        await world.run(30 * SECOND);
        const noticed = requestsSince(world, since).filter(({ ending }) => ending !== 'ok');
        stage.expect(
          noticed.length === 0,
          `${noticed.length} requests that began a second after the start noticed the restart: ${noticed[0]?.ending}`,
        );
      }
      stage.note(`meanwhile ${percent(tallyOf(world))}`);
      await world.end();
    },
  },
};

/**
 * The share of requests that succeed: the datagram of a request, or its reply, is lost in all transmissions with this chance. After a
 * failure the device opens a session, which takes one exchange more.
 *
 * @param {number} loss
 */
function shareAt(loss) {
  const exchange = 1 - (1 - (1 - loss) ** 2) ** ATTEMPTS;
  const hasSession = exchange ** 2 / (1 - exchange + exchange ** 2);
  return hasSession * exchange + (1 - hasSession) * exchange ** 2;
}

/**
 * @param {Stage} stage
 * @param {number} loss
 * @param {number} count of requests
 */
async function measureLoss(stage, loss, count) {
  const world = stage.createV2World();
  populate(world, { moved: 20, others: 0 }, { pauseMs: [300, 1500], count });
  setFaults(world, { loss, delayMs: 10 });
  await world.startServer();
  await world.runUntilDone();
  await world.end();
  return tallyOf(world);
}

/**
 * @param {V2World} world
 * @param {{ moved: number, others: number }} counts of boards of v2, and of v1
 * @param {Omit<Parameters<V2World['addBoard']>[0], 'protocol'>} habits
 */
function populate(world, { moved, others }, habits) {
  for (let index = 0; index < moved + others; index++) {
    world.addBoard({ ...habits, protocol: index < moved ? 'v2' : 'v1' });
  }
}

/** @param {import('#lib/testing/random.js').Random} random */
function drawFaults(random) {
  const maybe = (/** @type {readonly number[]} */ values) => (random.chance(0.4) ? random.pick(values) : 0);
  return {
    loss: maybe([0.01, 0.1, 0.3]),
    burstLoss: maybe([0.01, 0.05]),
    duplicate: maybe([0.05, 0.3]),
    duplicateMs: random.pick([5, 300, 3000, 25_000]),
    reorder: maybe([0.05, 0.2]),
    delayMs: random.pick([0, 15, 250, 900]),
    jitterMs: random.pick([0, 10]),
    corrupt: maybe([0.01, 0.1]),
    truncate: maybe([0.01, 0.05]),
  };
}

/**
 * @param {V2World} world
 * @param {LinkFaults} faults
 */
function setFaults(world, faults) {
  world.up.setFaults(faults);
  world.down.setFaults(faults);
}

/**
 * Faults and attacks have stopped: every request of v2 that begins then succeeds.
 *
 * @param {Stage} stage
 * @param {V2World} world
 */
async function expectRecovery(stage, world) {
  setFaults(world, {});
  await world.run(30 * SECOND);
  const since = world.timeline.now;
  await world.run(30 * SECOND);
  const lost = requestsSince(world, since).filter(({ ending }) => ending !== 'ok');
  stage.expect(
    lost.length === 0,
    `${lost.length} requests of v2 failed after all faults had stopped: ${lost[0]?.ending}`,
  );
}

/**
 * The requests of v2 that began since a time and have ended.
 *
 * @param {V2World} world
 * @param {number} since
 */
function requestsSince(world, since) {
  return world.ledger.requests.filter(
    ({ protocol, beganAt, ending }) => protocol === 'v2' && beganAt >= since && ending !== undefined,
  );
}

/** @param {V2World} world */
function tallyOf(world) {
  const ended = requestsSince(world, 0);
  return { good: ended.filter(({ ending }) => ending === 'ok').length, all: ended.length };
}
