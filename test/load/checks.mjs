/** The expected results of a load, as a table. The process ends with exit code 1 if one did not hold. */
export class Checks {
  /** @type {{ what: string, value: string | number, goal: string, holds: 'yes' | 'NO' }[]} */
  #rows = [];

  /**
   * @param {string} what
   * @param {string | number} value the measured one
   * @param {boolean} holds
   * @param {string} goal
   */
  add(what, value, holds, goal) {
    this.#rows.push({ what, value, goal, holds: holds ? 'yes' : 'NO' });
  }

  finish() {
    console.table(this.#rows);
    if (this.#rows.some(({ holds }) => holds === 'NO')) {
      process.exitCode = 1;
    }
  }
}
