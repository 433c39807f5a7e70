/**
 * Sets an own property with any name, as JSON.parse does. An assignment would run a setter of `Object.prototype` (`__proto__` sets
 * the prototype), and would throw for a read-only property (for all of them if the prototype is frozen).
 */
export function setOwnProperty<T>(object: Record<string, T>, name: string, value: T): void {
  if (name in object) {
    Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
  } else {
    object[name] = value;
  }
}
