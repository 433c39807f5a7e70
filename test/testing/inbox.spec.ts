import { describe, expect, it } from 'vitest';
import { Inbox } from '../../lib/testing/inbox.js';
import { FakePlatform } from '../support/fake-platform.js';

const TIMEOUT_MS = 1000;

function inboxWith(slots: number, readDelayMs: number) {
  const platform = new FakePlatform();
  const inbox = new Inbox({ slots, readDelayMs }, platform);
  const store = (...numbers: number[]) => numbers.forEach((number) => inbox.store(Buffer.of(number)));
  const read = async () => (await inbox.read(TIMEOUT_MS))[0];
  return { platform, inbox, store, read };
}

describe('Inbox', () => {
  it('passes datagrams to readers in order, even if the readers came first', async () => {
    const { inbox, platform, store, read } = inboxWith(10, 0);
    const first = read();
    store(1, 2, 3);
    expect([await first, await read(), await read()]).toEqual([1, 2, 3]);
    expect(inbox.length).toBe(0);
    expect(platform.pendingTimers).toBe(0);
  });

  it('drops and counts datagrams without a free slot', async () => {
    const { inbox, store, read } = inboxWith(2, 0);
    store(1, 2, 3);
    expect(inbox.counts).toEqual({ received: 2, dropped: 1 });
    expect([await read(), await read()]).toEqual([1, 2]);
    store(4);
    expect(await read()).toBe(4);
  });

  it('keeps a datagram in its slot while it is being taken out', async () => {
    const { platform, inbox, store, read } = inboxWith(1, 2);
    const first = read();
    store(1, 2);
    platform.advance(2);
    store(3);
    expect(await first).toBe(1);
    const second = read();
    platform.advance(2);
    expect(await second).toBe(3);
    expect(inbox.counts).toEqual({ received: 2, dropped: 1 });
  });

  it('keeps a datagram whose reader gave up while it was taken out', async () => {
    const { platform, inbox, store } = inboxWith(1, 20);
    const first = inbox.read(10);
    store(1);
    platform.advance(30);
    await expect(first).rejects.toMatchObject({ code: 'BEN_TIMEOUT' });
    expect(inbox.length).toBe(1);
  });

  it('rejects if no datagram came in time', async () => {
    const { platform, store, read } = inboxWith(1, 0);
    const late = read();
    platform.advance(TIMEOUT_MS);
    await expect(late).rejects.toMatchObject({ code: 'BEN_TIMEOUT' });
    store(1);
    expect(await read()).toBe(1);
  });

  it('fails its readers when it is closed, and leaves no timer', async () => {
    const { platform, inbox, store } = inboxWith(2, 5);
    const readers = [inbox.read(TIMEOUT_MS), inbox.read(TIMEOUT_MS)];
    store(1);
    inbox.close();
    for (const reader of readers) {
      await expect(reader).rejects.toMatchObject({ code: 'BEN_CLOSED' });
    }
    expect(platform.pendingTimers).toBe(0);
  });
});
