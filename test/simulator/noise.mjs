/**
 * What strangers do: forged hellos, junk, recorded datagrams again, as they were or changed, and stray datagrams for devices.
 * They hold no key and are not on the path, so they add datagrams and take none away.
 */

/**
 * Events a second.
 * @typedef {object} NoiseRates
 * @property {number} [forgedHellos] hellos in the name of a device.
 * @property {number} [strangersHellos] hellos of hosts that do not exist.
 * @property {number} [junk] bytes of chance, shaped like requests or not, in anybody's name.
 * @property {number} [replays] a recorded datagram, in its sender's name or another's.
 * @property {number} [mutants] a recorded datagram with changes.
 * @property {number} [strays] random datagrams for a device. Never the datagrams of the server in their order: a device believes a replay
 * of a whole exchange, and no server can prevent that.
 */

/**
 * @typedef {import('./world.mjs').World} World
 * @typedef {import('#lib/testing/random.js').Random} Random
 */

/** @type {readonly (keyof NoiseRates)[]} */
const NAMES = ['forgedHellos', 'strangersHellos', 'junk', 'replays', 'mutants', 'strays'];

export class Noise {
  #world;
  #random;
  #isOn = true;

  /**
   * @param {World} world
   * @param {NoiseRates} rates
   */
  constructor(world, rates) {
    this.#world = world;
    this.#random = world.random.fork();
    for (const name of NAMES) {
      const { [name]: perSecond = 0 } = rates;
      if (perSecond > 0) {
        this.#repeat(KINDS[name], perSecond);
      }
    }
  }

  stop() {
    this.#isOn = false;
  }

  /**
   * @param {(world: World, random: Random) => void} act
   * @param {number} perSecond
   */
  #repeat(act, perSecond) {
    const pauseMs = (-Math.log(1 - this.#random.float()) * 1000) / perSecond;
    this.#world.timeline.after(pauseMs, () => {
      if (this.#isOn) {
        act(this.#world, this.#random);
        this.#repeat(act, perSecond);
      }
    });
  }
}

const HELLO = Buffer.from('/GETID');

/** @type {Record<keyof NoiseRates, (world: World, random: Random) => void>} */
const KINDS = {
  forgedHellos: (world, random) => {
    const { address, port } = random.pick(world.devices);
    world.spoof(HELLO, address, port);
  },
  strangersHellos: (world, random) => {
    world.spoof(HELLO, randomAddress(random), random.between(1, 65_535));
  },
  junk: (world, random) => {
    const { address, port } = randomSender(world, random);
    world.spoof(random.chance(0.5) ? random.bytes(random.below(600)) : junkEnvelope(random), address, port);
  },
  replays: (world, random) => {
    if (world.recorded.length > 0) {
      const { datagram, ...sender } = random.pick(world.recorded);
      const { address, port } = random.chance(0.7) ? sender : randomSender(world, random);
      world.spoof(datagram, address, port);
    }
  },
  mutants: (world, random) => {
    if (world.recorded.length > 0) {
      const { datagram, address, port } = random.pick(world.recorded);
      world.spoof(mutate(datagram, random), address, port);
    }
  },
  strays: (world, random) => {
    random.pick(world.devices).receive(random.bytes(random.pick([1, 16, 16, 16, 32, 48, 200])));
  },
};

/**
 * @param {World} world
 * @param {Random} random
 */
function randomSender(world, random) {
  return random.chance(0.5)
    ? random.pick(world.devices)
    : { address: randomAddress(random), port: random.between(1, 65_535) };
}

/** @param {Random} random */
function randomAddress(random) {
  return `${random.between(11, 223)}.${random.below(256)}.${random.below(256)}.${random.below(256)}`;
}

/**
 * Shaped like a request, sealed by nobody.
 *
 * @param {Random} random
 */
function junkEnvelope(random) {
  const literal = (/** @type {number} */ length) => {
    const hex = random.bytes(length).toString('hex');
    return `b'${hex.replaceAll(/../g, String.raw`\x$&`)}'`;
  };
  return Buffer.from(`{'hash': ${literal(32)}, 'data': ${literal(16 * random.between(1, 8))}, 'iv': ${literal(16)}}`);
}

/**
 * @param {Buffer} datagram
 * @param {Random} random
 */
function mutate(datagram, random) {
  const bytes = Buffer.from(datagram);
  switch (random.below(4)) {
    case 0:
      return bytes.subarray(0, random.below(bytes.length + 1));
    case 1:
      return Buffer.concat([bytes, random.bytes(random.between(1, 40))]);
    case 2:
      bytes[random.below(bytes.length)] ^= 1 << random.below(8);
      return bytes;
    default: {
      const start = random.below(bytes.length);
      bytes.copy(bytes, start, random.below(bytes.length));
      return bytes;
    }
  }
}
