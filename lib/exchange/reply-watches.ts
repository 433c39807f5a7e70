/**
 * Tells running handlers that their device no longer waits for the reply.
 */
export class ReplyWatches<Owner> {
  /** Only for the handlers that asked: bounded by `maxInFlight`. */
  private readonly callbacks = new Map<Owner, () => void>();

  /** @param onSuperseded called once, unless `end` comes first. */
  begin(owner: Owner, onSuperseded: () => void): void {
    this.callbacks.set(owner, onSuperseded);
  }

  /** The reply is sent, or the handler has ended. */
  end(owner: Owner): void {
    this.callbacks.delete(owner);
  }

  /** The device no longer waits for the reply to an earlier request. */
  supersede(owner: Owner): void {
    if (this.callbacks.size > 0) {
      const onSuperseded = this.callbacks.get(owner);
      this.callbacks.delete(owner);
      onSuperseded?.();
    }
  }
}
