/** An escape of JSON. A backslash that is itself escaped is one, so what follows it is none. */
const ESCAPE = /\\(?:u[0-9a-f]{4}|.)/g;
const HALF_OF_PAIR = /^\\ud[89a-f]/;

/** JSON that PostgreSQL accepts. It refuses NUL and halves of surrogate pairs, in names too. Huge integers, which JSON has not, become text. */
export function toStorableJson(value: unknown): string {
  const text = JSON.stringify(value, (_name, each: unknown) => (typeof each === 'bigint' ? each.toString() : each));
  return text.replaceAll(ESCAPE, (escape) => {
    if (escape === '\\u0000') {
      return '';
    }
    return HALF_OF_PAIR.test(escape) ? '\ufffd' : escape;
  });
}
