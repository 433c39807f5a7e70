/**
 * The replies that are kept to be sent again. All sessions share one budget of bytes, and the oldest reply is forgotten first.
 */

/** Time for which a reply is kept, in milliseconds. */
export const REPLY_MS = 30_000;

/** Times that a kept reply is sent again. */
export const MAX_RESENDS = 8;

/** What a kept reply takes besides its bytes. */
const OVERHEAD_BYTES = 256;

export class KeptReply {
  resends = 0;
  older: KeptReply | undefined;
  newer: KeptReply | undefined;

  constructor(
    readonly datagram: Buffer,
    readonly keptAt: number,
    readonly owner: ReplyOwner,
  ) {}
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

  /** Keeps a reply instead of the one before. If it alone is beyond the budget, it is forgotten at once. */
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
    this.total += bytesOf(reply);
    while (this.oldest && (this.total > this.maxBytes || isOld(this.oldest, now))) {
      this.forget(this.oldest.owner);
    }
  }

  /** The reply, unless it is forgotten. */
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
    this.total -= bytesOf(reply);
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

function bytesOf({ datagram }: KeptReply): number {
  return OVERHEAD_BYTES + datagram.buffer.byteLength;
}

function isOld({ keptAt }: KeptReply, now: number): boolean {
  return now - keptAt > REPLY_MS;
}
