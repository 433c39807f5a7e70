/**
 * Calls that wait for a socket, first come, first served. One that is made again goes before those that were not made yet. A call
 * leaves in one step, wherever it stands: a thousand that are given up together must not hold the process up.
 */
export class CallQueue<Call> {
  private readonly again = new Set<Call>();
  private readonly first = new Set<Call>();

  get length(): number {
    return this.again.size + this.first.size;
  }

  add(call: Call): void {
    this.first.add(call);
  }

  addAgain(call: Call): void {
    this.again.add(call);
  }

  /** Takes the next call out. */
  take(): Call | undefined {
    for (const calls of [this.again, this.first]) {
      for (const call of calls) {
        calls.delete(call);
        return call;
      }
    }
    return undefined;
  }

  /** Takes a call out; false if it is not here. */
  remove(call: Call): boolean {
    return this.again.delete(call) || this.first.delete(call);
  }

  /** Takes all calls out, in their order. */
  takeAll(): Call[] {
    const calls = [...this.again, ...this.first];
    this.again.clear();
    this.first.clear();
    return calls;
  }
}
