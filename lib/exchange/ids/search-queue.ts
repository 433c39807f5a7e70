/**
 * The searches that take more than one step, a bounded number. Addresses take turns, so one with many searches delays the others no
 * more than one with a single search does. Each search ends before the next one begins: if all ran together, all would be late.
 */
import type { AddressKey, Sender } from '../remote.js';

/** Searches that may be pending. Each keeps its request: 1 MiB with requests of 4 kB. */
export const MAX_SEARCHES = 256;

/** One address may have a quarter of them, so four are needed to keep others out. */
export const MAX_SEARCHES_OF_ADDRESS = MAX_SEARCHES / 4;

interface Queued {
  readonly sender: Sender;
}

export class SearchQueue<Search extends Queued> {
  /** The searches of each address, oldest first. The address whose turn it is comes first. Bounded by `MAX_SEARCHES`. */
  private readonly byAddress = new Map<AddressKey, Search[]>();
  private count = 0;

  get size(): number {
    return this.count;
  }

  /** Adds a search; false if there is no room, or its address has its share. */
  add(search: Search): boolean {
    const { addressKey } = search.sender;
    const searches = this.byAddress.get(addressKey) ?? [];
    if (this.count >= MAX_SEARCHES || searches.length >= MAX_SEARCHES_OF_ADDRESS) {
      return false;
    }
    this.count++;
    searches.push(search);
    this.byAddress.set(addressKey, searches);
    return true;
  }

  /** The search to continue, until it is removed. */
  get current(): Search | undefined {
    const [searches] = this.byAddress.values();
    return searches?.[0];
  }

  /** The pending searches of an endpoint. */
  of({ key, addressKey }: Sender): readonly Search[] {
    return this.count === 0 ? [] : (this.byAddress.get(addressKey) ?? []).filter(({ sender }) => sender.key === key);
  }

  /** Removes a search. If it is the current one, it is the turn of another address. */
  remove(search: Search): void {
    const { addressKey } = search.sender;
    const searches = this.byAddress.get(addressKey) ?? [];
    const isCurrent = search === this.current;
    const index = searches.indexOf(search);
    if (index < 0) {
      return;
    }
    searches.splice(index, 1);
    this.count--;
    if (isCurrent || searches.length === 0) {
      this.byAddress.delete(addressKey);
    }
    if (isCurrent && searches.length > 0) {
      this.byAddress.set(addressKey, searches);
    }
  }
}
