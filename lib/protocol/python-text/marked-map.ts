/**
 * Keeps a `Map` from passing for an instance of a class.
 *
 * class-transformer reads `map[key]` instead of `map.get(key)`, so each value of a Map becomes `undefined`, and class-validator
 * takes a Map of nothing for a valid `@ValidateNested()`. A board would choose the type that a handler gets. So `map[key]` is
 * a text here: the validation fails, and if there is none, the text says what happened to the value.
 */
export const NOT_TRANSFORMED = 'a value of a Map, which class-transformer does not read';

/** Adds to each tuple's or bytes' name a property that loops, printers and `structuredClone` don't see. */
export function markForTransformers<Key, Value>(map: Map<Key, Value>): Map<Key, Value> {
  for (const key of map.keys()) {
    if (typeof key === 'object' && key !== null) {
      Object.defineProperty(map, nameOf(key, map), { value: NOT_TRANSFORMED });
    }
  }
  return map;
}

/** The property that `map[key]` means. class-transformer skips one that is a method, so such a key gets another name. */
function nameOf(key: object, map: ReadonlyMap<unknown, unknown>): string {
  const name = String(key);
  if (!(name in map)) {
    return name;
  }
  const other = `key ${name}`;
  Object.defineProperty(key, Symbol.toPrimitive, { value: () => other });
  return other;
}
