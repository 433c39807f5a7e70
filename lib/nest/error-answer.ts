/**
 * The answers that Nest's exception layer makes of errors.
 */
import { isError } from '../errors.js';

/** Nest's exception layer sends this instead of an error that clients must not see. It logs that error, unless it is an `HttpException`. */
export const HIDDEN_ERROR = { status: 'error', message: 'Internal server error' } as const;

/** Also matches an exception of another copy of Nest. Test runners load several copies. */
export function isRpcException(error: unknown): error is { getError(): unknown } {
  return isError(error) && 'getError' in error && typeof error.getError === 'function';
}

export function isHiddenError(error: unknown): boolean {
  return isNestAnswer(error) && error.message === HIDDEN_ERROR.message;
}

/** Nest's exception layer makes such an answer of an `RpcException` with a text, and of every error that it hides. */
export function isNestAnswer(error: unknown): error is { readonly message: unknown } {
  return (
    typeof error === 'object' && error !== null && 'message' in error && Object.keys(error).join() === 'status,message'
  );
}

/** The answer of Nest's exception layer for an `RpcException`. An error in it is as secret as any other. */
export function answerOf(error: { getError(): unknown }): unknown {
  const answer = error.getError();
  if (typeof answer !== 'object' || answer === null) {
    return { status: 'error', message: answer };
  }
  return isError(answer) ? HIDDEN_ERROR : answer;
}
