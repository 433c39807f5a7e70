/** The failure of a request that no worker has received, so a board may send it again without harm. */
export class UnsentError extends Error {
  override readonly name = 'UnsentError';
}
