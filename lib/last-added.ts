/**
 * The items that were added last, up to a number. For items that hold much memory while they are in use.
 */
export class LastAdded<Item> {
  /** Oldest first from `next`. Bounded by `capacity`. */
  private readonly items: Item[] = [];
  private next = 0;

  constructor(private readonly capacity: number) {}

  /** @returns the item that was added first, if there is no room for both. */
  add(item: Item): Item | undefined {
    const replaced = this.items[this.next];
    this.items[this.next] = item;
    this.next = (this.next + 1) % this.capacity;
    return replaced;
  }
}
