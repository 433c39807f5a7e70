/**
 * Patterns with wildcards. In words between dots, `*` matches exactly one word and `#` any number of words.
 */
const ONE_WORD = '*';
const ANY_WORDS = '#';

/** Whether a word of the pattern is a wildcard. */
export function hasWildcard(pattern: string): boolean {
  return pattern.split('.').some((word) => word === ONE_WORD || word === ANY_WORDS);
}

export class WildcardPatterns {
  /** Split into words. Best first: most literal words, then fewest `#`, then in order of registration. Bounded by the handlers. */
  private readonly patterns: string[][] = [];

  add(pattern: string): void {
    this.patterns.push(pattern.split('.'));
    this.patterns.sort((a, b) => countLiterals(b) - countLiterals(a) || countOf(a, ANY_WORDS) - countOf(b, ANY_WORDS));
  }

  /** The best pattern that matches. */
  find(action: string): string | undefined {
    const words = action.split('.');
    return this.patterns.find((pattern) => fits(pattern, words))?.join('.');
  }
}

/** Steps through both. If a word does not match, the last `#` takes one more. So the work is bounded by the product of the lengths. */
function fits(pattern: readonly string[], words: readonly string[]): boolean {
  let at = 0;
  let word = 0;
  let lastAny = -1;
  let takenUpTo = 0;
  while (word < words.length) {
    if (pattern[at] === ANY_WORDS) {
      lastAny = at++;
      takenUpTo = word;
    } else if (at < pattern.length && (pattern[at] === ONE_WORD || pattern[at] === words[word])) {
      at++;
      word++;
    } else if (lastAny >= 0) {
      at = lastAny + 1;
      word = ++takenUpTo;
    } else {
      return false;
    }
  }
  while (pattern[at] === ANY_WORDS) {
    at++;
  }
  return at === pattern.length;
}

function countLiterals(words: readonly string[]): number {
  return words.length - countOf(words, ONE_WORD) - countOf(words, ANY_WORDS);
}

function countOf(words: readonly string[], wanted: string): number {
  return words.filter((word) => word === wanted).length;
}
