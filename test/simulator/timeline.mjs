/**
 * The time of a simulated world: events in the order of their times, and of their making where times are equal.
 *
 * @typedef {{ time: number, made: number, run: () => void | Promise<void> }} Event `made` counts all events
 */

export class Timeline {
  now;
  /**
   * A binary heap.
   *
   * @type {Event[]}
   */
  #events = [];
  #made = 0;

  /** @param {number} start milliseconds. */
  constructor(start) {
    this.now = start;
  }

  /**
   * @param {number} time not before now.
   * @param {Event['run']} run
   */
  at(time, run) {
    const events = this.#events;
    const event = { time: Math.max(time, this.now), made: this.#made++, run };
    let index = events.length;
    events.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, events[parent])) {
        break;
      }
      events[index] = events[parent];
      index = parent;
    }
    events[index] = event;
  }

  /**
   * @param {number} ms
   * @param {Event['run']} run
   */
  after(ms, run) {
    this.at(this.now + ms, run);
  }

  /**
   * Lets everything happen that happens up to `time`; may be called by an event.
   *
   * @param {number} time
   */
  async runUntil(time) {
    for (let event = this.#events[0]; event && event.time <= time; event = this.#events[0]) {
      this.#takeFirst();
      this.now = event.time;
      await event.run();
    }
    this.now = Math.max(this.now, time);
  }

  #takeFirst() {
    const events = this.#events;
    const last = events.pop();
    const { length } = events;
    if (!last || length === 0) {
      return;
    }
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= length) {
        break;
      }
      if (child + 1 < length && isBefore(events[child + 1], events[child])) {
        child++;
      }
      if (!isBefore(events[child], last)) {
        break;
      }
      events[index] = events[child];
      index = child;
    }
    events[index] = last;
  }
}

/**
 * @param {Event} a
 * @param {Event} b
 */
function isBefore(a, b) {
  return a.time < b.time || (a.time === b.time && a.made < b.made);
}
