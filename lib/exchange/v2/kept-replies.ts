/**
 * Keeps replies, to send them again. All sessions share one budget of bytes, and the oldest reply is evicted first.
 */

/** Time for which a reply is kept, in milliseconds. */
export const REPLY_MS = 30_000;

/** Times that a kept reply is sent again. */
export const MAX_RESENDS = 8;

/** Memory of a kept reply in addition to its bytes. */
const OVERHEAD_BYTES = 256;

export class KeptReply {
  resends = 0;
  older: KeptReply | undefined = undefined;
  newer: KeptReply | undefined = undefined;
  /** Its cost in the budget, in bytes. */
  readonly bytes: number;

  constructor(
    readonly datagram: Buffer,
    readonly keptAt: number,
    readonly owner: ReplyOwner,
  ) {
    this.bytes = OVERHEAD_BYTES + datagram.buffer.byteLength;
  }
}

/** A session. */
export interface ReplyOwner {
  reply: KeptReply | undefined;
}

export class KeptReplies {
  /** A linked list, because each request takes one out of the middle. */
  private oldest: KeptReply | undefined;
  private newest: KeptReply | undefined;
  private total = 0;

  constructor(private readonly maxBytes: number) {}

  /** Bytes of all kept replies. */
  get bytes(): number {
    return this.total;
  }

  /** Keeps a reply instead of the one before. A reply that exceeds the budget by itself is evicted at once. */
  keep(owner: ReplyOwner, datagram: Buffer, now: number): void {
    this.forget(owner);
    const reply = new KeptReply(datagram, now, owner);
    owner.reply = reply;
    reply.older = this.newest;
    if (this.newest) {
      this.newest.newer = reply;
    } else {
      this.oldest = reply;
    }
    this.newest = reply;
    this.total += reply.bytes;
    while (this.oldest && (this.total > this.maxBytes || isOld(this.oldest, now))) {
      this.forget(this.oldest.owner);
    }
  }

  /** The reply, unless it was evicted. */
  find(owner: ReplyOwner, now: number): KeptReply | undefined {
    if (owner.reply && isOld(owner.reply, now)) {
      this.forget(owner);
    }
    return owner.reply;
  }

  /** Forgets the reply, if there is one. */
  forget(owner: ReplyOwner): void {
    const { reply } = owner;
    if (!reply) {
      return;
    }
    owner.reply = undefined;
    this.total -= reply.bytes;
    const { older, newer } = reply;
    if (older) {
      older.newer = newer;
    } else {
      this.oldest = newer;
    }
    if (newer) {
      newer.older = older;
    } else {
      this.newest = older;
    }
  }
}

function isOld({ keptAt }: KeptReply, now: number): boolean {
  return now - keptAt > REPLY_MS;
}
