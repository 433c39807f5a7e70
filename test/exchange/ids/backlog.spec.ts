import { describe, expect, it } from 'vitest';
import {
  type Backlog,
  NO_BACKLOG,
  afterFailure,
  afterHello,
  awaitsRequest,
  isDraining,
  isWithheld,
} from '../../../lib/exchange/ids/backlog.js';

/** A number of hellos, each with a failed request after it. */
const failing = (count: number, backlog: Backlog = NO_BACKLOG) =>
  Array.from({ length: count }).reduce<Backlog>((each) => afterFailure(afterHello(each)), backlog);

describe('Backlog', () => {
  it('begins to drain after three failures in a row', () => {
    expect([2, 3].map((count) => isDraining(failing(count)))).toEqual([false, true]);
  });

  it('withholds at most 40 hellos in a row, and then begins again', () => {
    expect([3, 42, 43].map((count) => isWithheld(failing(count)))).toEqual([true, true, false]);
    expect([2, 3].map((count) => isDraining(failing(count, failing(43))))).toEqual([false, true]);
  });

  it('counts one failure after each hello, and none without', () => {
    expect(failing(1, afterFailure(afterFailure(failing(2))))).toBe(failing(3));
    expect(afterFailure(NO_BACKLOG)).toBe(NO_BACKLOG);
  });

  it('answers a hello that no request has followed: the socket is empty', () => {
    const withheld = afterHello(failing(3));
    expect([awaitsRequest(withheld), isWithheld(withheld)]).toEqual([true, false]);
    expect(isDraining(afterHello(withheld))).toBe(false);
  });
});
