/**
 * Items by their size: class n holds those of 2^n to 2^(n+1) - 1. So one of the largest is found without a look at the others.
 */
export class SizeClasses<Item> {
  private readonly classes: Array<Set<Item>> = [];

  /** Must be called for each change of a size. An item of size 0 or 1 is in no class. */
  move(item: Item, before: number, after: number): void {
    const from = classOf(before);
    const to = classOf(after);
    if (from === to) {
      return;
    }
    this.classes[from]?.delete(item);
    if (to > 0) {
      (this.classes[to] ??= new Set()).add(item);
    }
  }

  /** The classes that have items, that of the largest first. */
  largestFirst(): Array<Set<Item>> {
    return this.classes.filter(({ size }) => size > 0).toReversed();
  }
}

function classOf(size: number): number {
  return 31 - Math.clz32(size | 1);
}
