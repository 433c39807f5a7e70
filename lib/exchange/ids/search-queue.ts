/**
 * The searches that take more than one step, a bounded number. Sources take turns, so one with many searches delays the others no more
 * than one with a single search does. Each search is finished before the next one begins: if all went on together, all would be late.
 */
import type { Sender } from '../remote.js';

/** Searches that may be pending. Each keeps its request: 1 MiB with requests of 4 kB. */
export const MAX_SEARCHES = 256;

/** One source may have a quarter of them, so four are needed to keep others out. */
export const MAX_SEARCHES_OF_SOURCE = MAX_SEARCHES / 4;

/** An IPv4 address, or an IPv6 /64. */
type Source = Sender['addressKey'];

interface Queued {
  readonly sender: Sender;
}

export class SearchQueue<Search extends Queued> {
  /** The searches of each source, oldest first. The source whose turn it is comes first. */
  private readonly sources = new Map<Source, Search[]>();
  private count = 0;

  get size(): number {
    return this.count;
  }

  /** Adds a search; false if there is no room, or its source has its share. */
  add(search: Search): boolean {
    const { addressKey } = search.sender;
    const searches = this.sources.get(addressKey) ?? [];
    if (this.count >= MAX_SEARCHES || searches.length >= MAX_SEARCHES_OF_SOURCE) {
      return false;
    }
    this.count++;
    searches.push(search);
    this.sources.set(addressKey, searches);
    return true;
  }

  /** The search to go on with, until it is removed. */
  get current(): Search | undefined {
    const [searches] = this.sources.values();
    return searches?.[0];
  }

  /** The pending searches of an endpoint. */
  of({ key, addressKey }: Sender): readonly Search[] {
    return this.count === 0 ? [] : (this.sources.get(addressKey) ?? []).filter(({ sender }) => sender.key === key);
  }

  /** Removes a search. If it is the current one, it is the turn of another source. */
  remove(search: Search): void {
    const { addressKey } = search.sender;
    const searches = this.sources.get(addressKey) ?? [];
    const isCurrent = search === this.current;
    const index = searches.indexOf(search);
    if (index < 0) {
      return;
    }
    searches.splice(index, 1);
    this.count--;
    if (isCurrent || searches.length === 0) {
      this.sources.delete(addressKey);
    }
    if (isCurrent && searches.length > 0) {
      this.sources.set(addressKey, searches);
    }
  }
}
