import { describe, expect, it } from 'vitest';
import { AwaitedRequests, REQUEST_DUE_MS } from '../../lib/exchange/awaited-requests.js';

describe('AwaitedRequests', () => {
  it('awaits a request from the issue of a pair until its use', () => {
    const requests = new AwaitedRequests();
    expect(requests.isAny(0)).toBe(false);
    requests.issue(0);
    requests.issue(5);
    requests.use(6);
    expect(requests.isAny(6)).toBe(true);
    requests.use(7);
    expect(requests.isAny(7)).toBe(false);
  });

  it('forgets a pair when its request is overdue: after a second', () => {
    const requests = new AwaitedRequests();
    requests.issue(50);
    expect(requests.isAny(1049)).toBe(true);
    expect(requests.isAny(1050)).toBe(false);
  });

  it('forgets a pair that is never used, although others are issued and used all the time', () => {
    const requests = new AwaitedRequests();
    requests.issue(0);
    let now = 10;
    for (; now <= REQUEST_DUE_MS + 100; now += 10) {
      requests.issue(now);
      requests.use(now + 1);
    }
    expect(requests.isAny(now)).toBe(false);
  });

  it('counts no use before an issue, and nothing across a long silence', () => {
    const requests = new AwaitedRequests();
    requests.use(0);
    requests.issue(1);
    expect(requests.isAny(1)).toBe(true);
    requests.issue(1_000_000);
    requests.use(1_000_000);
    expect(requests.isAny(1_000_000)).toBe(false);
  });
});
