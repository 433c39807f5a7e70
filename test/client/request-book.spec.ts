/** The counts and cancellations around the attempts of a request. The specs of the clients assert the rest, through whole requests. */
import { describe, expect, it, vi } from 'vitest';
import { type ClientRequest, QueuedRequest, RequestBook } from '../../lib/client/request-book.js';
import { FakePlatform } from '../support/fake-platform.js';

const INPUT: ClientRequest = {
  text: '{}',
  noreturn: false,
  pattern: 'echo',
  timeout: 1000,
  retries: 1,
  idempotent: true,
};

function create() {
  const platform = new FakePlatform();
  const onDue = vi.fn();
  const book = new RequestBook<QueuedRequest>({ host: '10.0.0.1', port: 8585 }, platform, onDue);
  const request = new QueuedRequest(INPUT, 0, vi.fn(), vi.fn());
  book.add(request, undefined, undefined, () => undefined);
  book.waiting.take();
  return { platform, book, request, onDue };
}

describe('RequestBook#retry with a delay', () => {
  it('counts the request once, before and after it is due', () => {
    const { platform, book, request, onDue } = create();
    expect(book.retry(request, false, 100)).toBe(true);
    expect(book.stats(0)).toMatchObject({ requests: 1, waiting: 1, retries: 1 });
    platform.advance(99);
    expect(onDue).not.toHaveBeenCalled();
    platform.advance(1);
    expect(onDue).toHaveBeenCalledOnce();
    expect(book.stats(0)).toMatchObject({ requests: 1, waiting: 1, retries: 1 });
  });

  it('gives the request back once, before or after it is due', () => {
    for (const passedMs of [0, 100]) {
      const { platform, book, request } = create();
      book.retry(request, false, 100);
      platform.advance(passedMs);
      expect(book.close()).toEqual([request]);
      expect([platform.pendingTimers, book.stats(0).waiting]).toEqual([0, 0]);
    }
  });
});
