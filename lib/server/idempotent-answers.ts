/**
 * Answers a request that has its own id: the handler runs for the first copy, and each later copy gets its result, also in another
 * session. The exchange answers copies within a session, so they do not reach this class.
 */
import type { VerifiedRequest } from '../exchange/index.js';
import { MAX_REQUEST_ID_LENGTH } from '../protocol/index.js';
import type { Answer } from './listener-options.js';
import { digestOf } from './request-digest.js';
import type { BenUdpResultStore, BenUdpStoredResult } from './result-store.js';

/** Error replies to a request with an id. Its handler does not run. */
export const REFUSED_IDS = {
  malformed: `rid must be a text of 1 to ${MAX_REQUEST_ID_LENGTH} characters; the request did not run`,
  reused: 'this rid belongs to another request; this one did not run. Use a new rid for each request',
  lost: 'the request may have run: a process began it and has left no result yet. It did not run again',
  unavailable: 'the result store failed, so the request did not run; try again later',
} as const;

export interface IdempotentHandlers {
  /** The error reply with this message. */
  refuse(message: string, request: VerifiedRequest): Answer;
  /** The store failed. */
  onStoreFailed(error: unknown): void;
}

export class IdempotentAnswers {
  /** The requests of this process that run. Bounded by `maxInFlight`. */
  private readonly running = new Map<string, { readonly request: string; readonly answer: Promise<Answer> }>();

  constructor(
    private readonly store: BenUdpResultStore,
    private readonly handlers: IdempotentHandlers,
  ) {}

  /**
   * @param run runs the handler.
   * @returns never rejects unless `run` does.
   */
  async answer(request: VerifiedRequest, run: () => Answer | Promise<Answer>): Promise<Answer> {
    const { device, rid } = request;
    if (typeof rid !== 'string' || rid === '' || rid.length > MAX_REQUEST_ID_LENGTH) {
      return this.handlers.refuse(REFUSED_IDS.malformed, request);
    }
    const key = JSON.stringify([device ?? null, rid]);
    const digest = digestOf(request);
    const known = this.running.get(key);
    if (known) {
      return known.request === digest ? known.answer : this.handlers.refuse(REFUSED_IDS.reused, request);
    }
    const answer = this.answerOnce(key, digest, request, run);
    this.running.set(key, { request: digest, answer });
    try {
      return await answer;
    } finally {
      this.running.delete(key);
    }
  }

  private async answerOnce(
    key: string,
    digest: string,
    request: VerifiedRequest,
    run: () => Answer | Promise<Answer>,
  ): Promise<Answer> {
    const { handlers, store } = this;
    try {
      const stored = readStored(await store.begin(key, digest, request.device));
      if (stored && stored.request !== digest) {
        return handlers.refuse(REFUSED_IDS.reused, request);
      }
      if (stored) {
        const { result } = stored;
        return result
          ? { text: result.reply || undefined, isError: result.isError }
          : handlers.refuse(REFUSED_IDS.lost, request);
      }
    } catch (error) {
      handlers.onStoreFailed(error);
      return handlers.refuse(REFUSED_IDS.unavailable, request);
    }
    const answer = await run();
    try {
      await store.end(key, digest, { reply: answer.text ?? '', isError: answer.isError });
    } catch (error) {
      handlers.onStoreFailed(error);
    }
    return answer;
  }
}

/**
 * Checks what a store gives: a text that is not parsed, for example, must not be taken for a result, or for a free id.
 *
 * @throws TypeError for anything but a stored result, `undefined` and `null`.
 */
function readStored(given: unknown): BenUdpStoredResult | undefined {
  if (given === undefined || given === null) {
    return undefined;
  }
  const { request, result } = given as {
    readonly request?: unknown;
    readonly result?: { readonly reply?: unknown } | null;
  };
  if (typeof request !== 'string' || (result && typeof result.reply !== 'string')) {
    throw new TypeError(
      '"begin" of the result store must return undefined for a free id, or else what "begin" and "end" kept: { request, result }',
    );
  }
  return given as BenUdpStoredResult;
}
