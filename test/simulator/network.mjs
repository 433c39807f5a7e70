/**
 * The way between devices and server: what becomes of a datagram, by a seed. One `Link` is one direction.
 */

/**
 * @typedef {object} Faults
 * @property {number} [loss] share that gets lost, each for itself.
 * @property {number} [burstLoss] share that begins a burst in which everything is lost.
 * @property {number} [burstLength] datagrams of one flow in a burst, on average.
 * @property {number} [duplicate] share that arrives twice.
 * @property {number} [duplicateMs] the second one later by up to this.
 * @property {number} [reorder] share that is held back, so that others overtake it.
 * @property {readonly [number, number]} [reorderMs] how long.
 * @property {number} [delayMs]
 * @property {number} [jitterMs] more or less delay, order kept.
 * @property {number} [corrupt] share in which bits are flipped.
 * @property {number} [truncate] share that is cut off. Never to nothing: unmodified devices take an empty third datagram for `{}`.
 */

/** @type {Required<Faults>} */
const NO_FAULTS = {
  loss: 0,
  burstLoss: 0,
  burstLength: 4,
  duplicate: 0,
  duplicateMs: 5,
  reorder: 0,
  reorderMs: [500, 1000],
  delayMs: 0,
  jitterMs: 0,
  corrupt: 0,
  truncate: 0,
};

export class Link {
  /** Everything is lost up to this time. */
  cutUntil = -Infinity;
  /** What became of datagrams. */
  fates = { sent: 0, arrived: 0, lost: 0, doubled: 0, reordered: 0, corrupted: 0, truncated: 0 };
  #timeline;
  #random;
  /** @type {Required<Faults>} */
  #faults = NO_FAULTS;
  /** By flow: when the last one arrives, and datagrams left of a burst of losses. */
  #flows = new Map();

  constructor(timeline, random) {
    this.#timeline = timeline;
    this.#random = random;
  }

  /** @param {Faults} faults from now on; none of those before, and no burst that is not over yet. */
  setFaults(faults) {
    this.#faults = { ...NO_FAULTS, ...faults };
    for (const state of this.#flows.values()) {
      state.burstLeft = 0;
    }
  }

  /**
   * @param {string} flow datagrams of one flow keep their order.
   * @param {Buffer} datagram
   * @param {number} sentAt
   * @param {(datagram: Buffer) => void} arrive
   */
  carry(flow, datagram, sentAt, arrive) {
    const { fates } = this;
    fates.sent++;
    const state = this.#flowOf(flow);
    if (sentAt < this.cutUntil || this.#isLost(state)) {
      fates.lost++;
      return;
    }
    const { delayMs, jitterMs, reorder, reorderMs, duplicate, duplicateMs } = this.#faults;
    const random = this.#random;
    const bytes = this.#damage(datagram);
    let at = Math.max(sentAt, sentAt + delayMs + (random.float() * 2 - 1) * jitterMs);
    if (random.chance(reorder)) {
      fates.reordered++;
      at += reorderMs[0] + random.float() * (reorderMs[1] - reorderMs[0]);
    } else {
      at = Math.max(at, state.lastAt);
      state.lastAt = at;
    }
    this.#arriveAt(at, bytes, arrive);
    if (random.chance(duplicate)) {
      fates.doubled++;
      this.#arriveAt(at + random.float() * duplicateMs, bytes, arrive);
    }
  }

  #arriveAt(time, bytes, arrive) {
    this.#timeline.at(time, () => {
      this.fates.arrived++;
      arrive(bytes);
    });
  }

  #flowOf(name) {
    let state = this.#flows.get(name);
    if (!state) {
      state = { lastAt: -Infinity, burstLeft: 0 };
      this.#flows.set(name, state);
    }
    return state;
  }

  #isLost(state) {
    const { loss, burstLoss, burstLength } = this.#faults;
    if (state.burstLeft === 0 && this.#random.chance(burstLoss)) {
      state.burstLeft = this.#random.between(1, 2 * burstLength - 1);
    }
    if (state.burstLeft > 0) {
      state.burstLeft--;
      return true;
    }
    return this.#random.chance(loss);
  }

  #damage(datagram) {
    const { corrupt, truncate } = this.#faults;
    const random = this.#random;
    let bytes = datagram;
    if (random.chance(corrupt) && bytes.length > 0) {
      this.fates.corrupted++;
      bytes = Buffer.from(bytes);
      for (let flips = random.between(1, 3); flips > 0; flips--) {
        bytes[random.below(bytes.length)] ^= 1 << random.below(8);
      }
    }
    if (random.chance(truncate) && bytes.length > 1) {
      this.fates.truncated++;
      bytes = bytes.subarray(0, random.between(1, bytes.length - 1));
    }
    return bytes;
  }
}
