/**
 * Calls that wait for a socket, first come, first served. Retries go before first attempts. Every operation takes the same time,
 * however many calls wait, because thousands may be cancelled together.
 */

interface Entry<Call> {
  readonly call: Call;
  before: Entry<Call> | undefined;
  after: Entry<Call> | undefined;
}

export class CallQueue<Call> {
  private readonly retries = new LinkedList<Call>();
  private readonly firsts = new LinkedList<Call>();

  get length(): number {
    return this.retries.size + this.firsts.size;
  }

  add(call: Call): void {
    this.firsts.add(call);
  }

  addRetry(call: Call): void {
    this.retries.add(call);
  }

  /** Takes the next call out. */
  take(): Call | undefined {
    const { first } = this.retries.size > 0 ? this.retries : this.firsts;
    if (first) {
      this.remove(first.call);
    }
    return first?.call;
  }

  /** Takes a call out; false if it is not here. */
  remove(call: Call): boolean {
    return this.retries.remove(call) || this.firsts.remove(call);
  }

  /** Takes all calls out, in their order. */
  takeAll(): Call[] {
    return Array.from({ length: this.length }, () => this.take()!);
  }

  /** The calls in their order. */
  *[Symbol.iterator](): Iterator<Call> {
    yield* this.retries.calls;
    yield* this.firsts.calls;
  }
}

/** In order of arrival. A Set alone would not do: its first member is found by walking over those that were removed before. */
class LinkedList<Call> {
  private readonly entries = new Map<Call, Entry<Call>>();
  private last: Entry<Call> | undefined;
  first: Entry<Call> | undefined;

  get size(): number {
    return this.entries.size;
  }

  get calls(): IterableIterator<Call> {
    return this.entries.keys();
  }

  add(call: Call): void {
    const entry: Entry<Call> = { call, before: this.last, after: undefined };
    if (this.last) {
      this.last.after = entry;
    } else {
      this.first = entry;
    }
    this.last = entry;
    this.entries.set(call, entry);
  }

  remove(call: Call): boolean {
    const entry = this.entries.get(call);
    if (!entry) {
      return false;
    }
    const { before, after } = entry;
    if (before) {
      before.after = after;
    } else {
      this.first = after;
    }
    if (after) {
      after.before = before;
    } else {
      this.last = before;
    }
    return this.entries.delete(call);
  }
}
