/**
 * Prevents a `Map` from being mistaken for an instance of a class.
 *
 * class-transformer reads `map[key]` instead of `map.get(key)`, so each value of a Map becomes `undefined`. class-validator then
 * accepts an empty Map as a valid `@ValidateNested()`, so a board would choose the type that a handler gets. Here `map[key]` is a
 * text: the validation fails, and without validation the text explains the missing value.
 */
export const NOT_TRANSFORMED = 'a value of a Map, which class-transformer does not read';

/** For the name of each tuple or bytes, adds a property that loops, printers and `structuredClone` do not see. */
export function markForTransformers<Key, Value>(map: Map<Key, Value>): Map<Key, Value> {
  for (const key of map.keys()) {
    if (typeof key === 'object' && key !== null) {
      Object.defineProperty(map, nameOf(key, map), { value: NOT_TRANSFORMED });
    }
  }
  return map;
}

/** The property that `map[key]` reads. class-transformer skips a property that is a method, so such a key gets another name. */
function nameOf(key: object, map: ReadonlyMap<unknown, unknown>): string {
  const name = String(key);
  if (!(name in map)) {
    return name;
  }
  const other = `key ${name}`;
  Object.defineProperty(key, Symbol.toPrimitive, { value: () => other });
  return other;
}
