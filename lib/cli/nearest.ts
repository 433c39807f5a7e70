/**
 * Suggests the intended word for a misspelt one.
 */

/** Typing errors that a suggestion may differ by. With more of them, it is another word. */
const MAX_ERRORS = 2;

/** Longer words are not compared, because the time grows with the square of the length. */
const MAX_LENGTH = 40;

/** The most similar candidate; `undefined` if none is similar. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  if (word.length > MAX_LENGTH) {
    return undefined;
  }
  const [best] = candidates
    .map((candidate) => ({ candidate, errors: countErrors(word, candidate) }))
    .filter(({ candidate, errors }) => errors <= MAX_ERRORS && errors < candidate.length - 1)
    .toSorted((one, other) => one.errors - other.errors);
  return best?.candidate;
}

/** Inserted, missing, wrong and swapped letters: the distance of Damerau and Levenshtein. */
function countErrors(one: string, other: string): number {
  const rows: number[][] = [Array.from({ length: other.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const isSame = one[i - 1] === other[j - 1];
      const isSwap = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      row[j] = Math.min(
        rows[i - 1]![j]! + 1,
        row[j - 1]! + 1,
        rows[i - 1]![j - 1]! + (isSame ? 0 : 1),
        isSwap ? rows[i - 2]![j - 2]! + 1 : Infinity,
      );
    }
    rows.push(row);
  }
  return rows[one.length]![other.length]!;
}
