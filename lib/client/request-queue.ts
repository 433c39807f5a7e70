/**
 * Requests that wait for a socket, in order of arrival. Retries go before first attempts. Every operation takes the same time,
 * however many requests wait, because thousands may be cancelled together.
 */

interface Entry<Request> {
  readonly request: Request;
  before: Entry<Request> | undefined;
  after: Entry<Request> | undefined;
}

export class RequestQueue<Request> {
  private readonly retries = new LinkedList<Request>();
  private readonly firsts = new LinkedList<Request>();

  get length(): number {
    return this.retries.size + this.firsts.size;
  }

  add(request: Request): void {
    this.firsts.add(request);
  }

  addRetry(request: Request): void {
    this.retries.add(request);
  }

  /** Takes the next request out. */
  take(): Request | undefined {
    const { first } = this.retries.size > 0 ? this.retries : this.firsts;
    if (first) {
      this.remove(first.request);
    }
    return first?.request;
  }

  /** Takes a request out; false if it is not here. */
  remove(request: Request): boolean {
    return this.retries.remove(request) || this.firsts.remove(request);
  }

  /** Takes all requests out, in their order. */
  takeAll(): Request[] {
    return Array.from({ length: this.length }, () => this.take()!);
  }

  /** The requests in their order. */
  *[Symbol.iterator](): Iterator<Request> {
    yield* this.retries.requests;
    yield* this.firsts.requests;
  }
}

/** In order of arrival. Not a Set, because a Set walks over removed members to find its first one. */
class LinkedList<Request> {
  /** Bounded by `maxQueue`. */
  private readonly entries = new Map<Request, Entry<Request>>();
  private last: Entry<Request> | undefined;
  first: Entry<Request> | undefined;

  get size(): number {
    return this.entries.size;
  }

  get requests(): IterableIterator<Request> {
    return this.entries.keys();
  }

  add(request: Request): void {
    const entry: Entry<Request> = { request, before: this.last, after: undefined };
    if (this.last) {
      this.last.after = entry;
    } else {
      this.first = entry;
    }
    this.last = entry;
    this.entries.set(request, entry);
  }

  remove(request: Request): boolean {
    const entry = this.entries.get(request);
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
    return this.entries.delete(request);
  }
}
