import { describe, expect, it } from 'vitest';
import { Agenda } from '../../lib/testing/agenda.js';
import { FaultyLink, type LinkFaults } from '../../lib/testing/faulty-link.js';
import { Random } from '../../lib/testing/random.js';
import { FakePlatform } from '../support/fake-platform.js';

/** A link, its clock, and the numbers of the datagrams that arrived. */
function linkWith(faults: Partial<LinkFaults>, seed = 1) {
  const platform = new FakePlatform();
  const agenda = new Agenda(platform);
  const arrived: number[] = [];
  const link = new FaultyLink(agenda, new Random(seed));
  link.setFaults(faults);
  const send = (...numbers: number[]) =>
    numbers.forEach((number) =>
      link.carry('', Buffer.of(number, 0, 0, 0), platform.now(), (datagram) => arrived.push(datagram[0]!)),
    );
  return { link, agenda, platform, arrived, send };
}

const HUNDRED = Array.from({ length: 100 }, (_, index) => index);

describe('FaultyLink', () => {
  it('passes everything on at once without faults', () => {
    const { link, platform, arrived, send } = linkWith({});
    send(...HUNDRED);
    expect(arrived).toEqual(HUNDRED);
    expect(link.fates).toEqual({
      sent: 100,
      arrived: 100,
      lost: 0,
      doubled: 0,
      reordered: 0,
      corrupted: 0,
      truncated: 0,
    });
    expect(platform.pendingTimers).toBe(0);
  });

  it('loses datagrams at the given chance, and counts them', () => {
    const { link, arrived, send } = linkWith({ loss: 0.3 });
    send(...HUNDRED);
    expect(link.fates.lost).toBeGreaterThan(15);
    expect(link.fates.lost).toBeLessThan(45);
    expect(arrived).toHaveLength(100 - link.fates.lost);
    const all = linkWith({ loss: 1 });
    all.send(...HUNDRED);
    expect(all.arrived).toEqual([]);
  });

  it('loses in bursts', () => {
    const { arrived, send } = linkWith({ burstLoss: 0.05, burstLength: 5 });
    send(...HUNDRED);
    const lost = HUNDRED.filter((number) => !arrived.includes(number));
    const follows = lost.filter((number) => lost.includes(number - 1));
    expect(lost.length).toBeGreaterThan(5);
    expect(follows.length).toBeGreaterThan(lost.length / 2);
  });

  it('loses everything while it is cut', () => {
    const { link, platform, arrived, send } = linkWith({});
    link.cutUntil = platform.now() + 10;
    send(1);
    platform.advance(10);
    send(2);
    expect(arrived).toEqual([2]);
  });

  it('delivers a doubled datagram twice', () => {
    const { link, arrived, send } = linkWith({ duplicate: 1, duplicateMs: 0 });
    send(1, 2);
    expect(arrived).toEqual([1, 1, 2, 2]);
    expect(link.fates.doubled).toBe(2);
  });

  it('holds a datagram back, so later ones overtake it', () => {
    const { link, platform, arrived, send } = linkWith({ reorder: 1, reorderMs: [20, 20] });
    send(1);
    link.setFaults({});
    send(2, 3);
    expect(arrived).toEqual([2, 3]);
    platform.advance(19);
    expect(arrived).toEqual([2, 3]);
    platform.advance(1);
    expect(arrived).toEqual([2, 3, 1]);
    expect(link.fates.reordered).toBe(1);
  });

  it('delays each datagram by the delay plus or minus the jitter', () => {
    const { platform, arrived, send } = linkWith({ delayMs: 25, jitterMs: 25 });
    const delays = HUNDRED.map((number) => {
      send(number);
      const sentAt = platform.now();
      while (arrived.length <= number) {
        platform.advance(1);
      }
      return platform.now() - sentAt;
    });
    expect(Math.min(...delays)).toBeLessThan(10);
    expect(Math.max(...delays)).toBeGreaterThan(40);
    expect(Math.max(...delays)).toBeLessThanOrEqual(50);
  });

  it('keeps the order of delayed datagrams', () => {
    const { platform, arrived, send } = linkWith({ delayMs: 25, jitterMs: 25 });
    for (const number of HUNDRED) {
      send(number);
      platform.advance(1);
    }
    expect(arrived.length).toBeLessThan(100);
    platform.advance(50);
    expect(arrived).toEqual(HUNDRED);
  });

  it('flips bits and cuts off, in a copy and never to nothing', () => {
    const platform = new FakePlatform();
    const link = new FaultyLink(new Agenda(platform), new Random(1));
    link.setFaults({ corrupt: 1, truncate: 0.5 });
    const original = Buffer.alloc(8);
    const arrived: Buffer[] = [];
    HUNDRED.forEach(() => link.carry('', original, 0, (datagram) => arrived.push(datagram)));
    expect(original.equals(Buffer.alloc(8))).toBe(true);
    expect(arrived.every(({ length }) => length >= 1)).toBe(true);
    expect(arrived.filter((bytes) => bytes.some((byte) => byte !== 0)).length).toBeGreaterThan(50);
    expect(link.fates.truncated).toBe(arrived.filter(({ length }) => length < 8).length);
  });

  it('repeats its faults for the same seed, and one fault does not move another', () => {
    const run = (faults: Partial<LinkFaults>, seed: number) => {
      const { platform, arrived, send } = linkWith(faults, seed);
      send(...HUNDRED);
      platform.advance(2000);
      return arrived;
    };
    const all = { loss: 0.2, duplicate: 0.2, reorder: 0.2, corrupt: 0 };
    expect(run(all, 7)).toEqual(run(all, 7));
    expect(run(all, 7)).not.toEqual(run(all, 8));
    const lost = (numbers: number[]) => HUNDRED.filter((number) => !numbers.includes(number));
    expect(lost(run(all, 7))).toEqual(lost(run({ loss: 0.2 }, 7)));
  });

  it('delivers nothing and leaves no timer after its agenda has stopped', () => {
    const { agenda, platform, arrived, send } = linkWith({ delayMs: 10 });
    send(1);
    agenda.stop();
    platform.advance(100);
    expect(arrived).toEqual([]);
    expect(platform.pendingTimers).toBe(0);
  });
});
