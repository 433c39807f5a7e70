/**
 * Lets copies of this package recognise each other's classes. An app may load the ESM build and the CommonJS
 * build in one process. `instanceof` then checks a mark that all copies share, instead of the prototype.
 */
export function brand(target: abstract new (...args: never[]) => object, name: string): void {
  const mark = Symbol.for(`nestjs-ben-udp.${name}`);
  Object.defineProperty(target.prototype, mark, { value: true });
  Object.defineProperty(target, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      // Subclasses inherit this method, but the mark does not identify them.
      return this === target
        ? typeof value === 'object' && value !== null && mark in value
        : Function.prototype[Symbol.hasInstance].call(this, value);
    },
  });
}
