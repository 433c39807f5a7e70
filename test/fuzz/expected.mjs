/**
 * Lets an error pass that a target expects, and throws any other as it is, with its own stack.
 *
 * @template {Error} E
 * @param {unknown} error
 * @param {abstract new (...args: never[]) => E} type
 * @param {(error: E) => boolean} [isExpected]
 * @returns {E}
 */
export function expectError(error, type, isExpected = () => true) {
  if (error instanceof type && isExpected(error)) {
    return error;
  }
  throw error;
}
