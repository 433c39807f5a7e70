/**
 * Reads the options of an app. It throws at the first mistake. The message names the option, the expected value, and the kind of the
 * actual value, but never the value of a key.
 */

/** Upstream's option names that differ from the names here. */
const UPSTREAM_NAMES: Readonly<Record<string, string>> = {
  localip: 'host',
  localport: 'port',
};

export class OptionReader<Options extends object> {
  /**
   * @param owner the class that has these options.
   * @param names all options.
   * @throws TypeError if `options` is not an object, or holds another name. Otherwise a misspelt option would be ignored.
   */
  constructor(
    readonly owner: string,
    private readonly options: Options,
    names: readonly (keyof Options & string)[],
  ) {
    if (typeof options !== 'object' || options === null) {
      throw new TypeError(`${owner} expects an options object, got ${kindOf(options)}`);
    }
    for (const name of Object.keys(options)) {
      if (!(names as readonly string[]).includes(name)) {
        const spelling = (UPSTREAM_NAMES[name] ?? name).toLowerCase();
        const meant = names.find((known) => known.toLowerCase() === spelling);
        throw new TypeError(`${owner} has no option "${name}"${meant ? `, did you mean "${meant}"?` : ''}`);
      }
    }
  }

  /**
   * @param fallback `undefined` if the option is required.
   * @throws TypeError for anything but a number, RangeError for a number that is not an integer from `min` to `max`.
   */
  integer(name: keyof Options & string, fallback: number | undefined, min: number, max: number): number {
    const expected = `an integer from ${min} to ${max}`;
    const value: unknown = this.read(name, fallback);
    if (typeof value !== 'number') {
      return this.fail(name, expected, value);
    }
    return Number.isInteger(value) && value >= min && value <= max
      ? value
      : this.failRange(name, expected, String(value));
  }

  /** @throws TypeError for anything but a number, RangeError for one that is not from `min` to `max`. */
  number(name: keyof Options & string, fallback: number, min: number, max: number): number {
    const expected = `a number from ${min} to ${max}`;
    const value: unknown = this.read(name, fallback);
    if (typeof value !== 'number') {
      return this.fail(name, expected, value);
    }
    return value >= min && value <= max ? value : this.failRange(name, expected, String(value));
  }

  /** @throws TypeError for anything but a non-empty string. */
  string(name: keyof Options & string, fallback: string): string {
    const value: unknown = this.read(name, fallback);
    return isFilledString(value) ? value : this.fail(name, 'a non-empty string', value);
  }

  /** @throws TypeError for anything but a boolean. */
  boolean(name: keyof Options & string, fallback: boolean): boolean {
    const value: unknown = this.read(name, fallback);
    return typeof value === 'boolean' ? value : this.fail(name, 'true or false', value);
  }

  /** @throws TypeError for anything but one of `choices`. */
  oneOf<Choice extends string>(name: keyof Options & string, choices: readonly Choice[], fallback: Choice): Choice {
    const value: unknown = this.read(name, fallback);
    const choice = choices.find((candidate) => candidate === value);
    return choice ?? this.fail(name, choices.map((each) => `"${each}"`).join(' or '), value);
  }

  /** @throws TypeError for anything but `undefined` or an object. */
  object<Name extends keyof Options & string>(name: Name): Options[Name] | undefined {
    const value = this.options[name];
    return value === undefined || (typeof value === 'object' && value !== null)
      ? value
      : this.fail(name, 'an object', value);
  }

  /** @throws TypeError for anything but `undefined` or an object with that method. */
  withMethod<Name extends keyof Options & string>(name: Name, method: string): Options[Name] {
    const value = this.options[name];
    const holder = value as Record<string, unknown> | null | undefined;
    if (value !== undefined && typeof holder?.[method] !== 'function') {
      this.fail(name, `an object with a method ${method}()`, value);
    }
    return value;
  }

  fail(name: string, expected: string, value: unknown): never {
    throw new TypeError(this.message(name, expected, kindOf(value)));
  }

  failRange(name: string, expected: string, actual: string): never {
    throw new RangeError(this.message(name, expected, actual));
  }

  /** `null` is a wrong value, and does not mean the default. */
  private read(name: keyof Options & string, fallback: unknown): unknown {
    const value = this.options[name];
    return value === undefined ? fallback : value;
  }

  private message(name: string, expected: string, actual: string): string {
    return `${this.owner} option "${name}" must be ${expected}, got ${actual}`;
  }
}

export function isFilledString(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== '';
}

/** The kind of a value, for messages; never the value itself. */
function kindOf(value: unknown): string {
  if (value === null) {
    return 'null';
  }
  if (value instanceof Uint8Array) {
    return `${value.length} bytes`;
  }
  if (typeof value === 'string') {
    return `a string of ${value.length} characters`;
  }
  return Array.isArray(value) ? `an array of ${value.length}` : typeof value;
}
