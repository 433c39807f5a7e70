/** What a load must have come to, as a table; the process ends with exit code 1 where something did not hold. */
export class Checks {
  #rows = [];

  /**
   * @param {string} what
   * @param {string | number} value what was seen
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
