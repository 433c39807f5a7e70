/** `Object.prototype` as an attack, or a careless package, may have left it. */
import { onTestFinished } from 'vitest';

/** Gives every object a property, until the test has finished. */
export function pollutePrototype(name: string, descriptor: PropertyDescriptor): void {
  const prototype: object = Object.getPrototypeOf({}) as object;
  Reflect.defineProperty(prototype, name, { ...descriptor, configurable: true });
  onTestFinished(() => {
    Reflect.deleteProperty(prototype, name);
  });
}
