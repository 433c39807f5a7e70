/**
 * Says one behaviour of Nest's transports and runs it over TCP and over BenUdp. Each becomes a row of docs/parity.md, which
 * `npm run test:parity -- --save` writes from the run.
 */
import { describe, expect, it } from 'vitest';
import { type ParityTransport, BEN_UDP, TCP } from './transports.js';

type Check = (transport: ParityTransport) => Promise<void>;

/** What one transport does in its own way: a sentence that the table quotes, and the test that it is so. */
type OwnWay = readonly [rule: string, check: Check];

export interface Behaviour {
  /** Both do it, by one test. */
  readonly both?: Check;
  /** Or each does it in its own way. */
  readonly tcp?: OwnWay;
  readonly benUdp?: OwnWay;
  /** What of Nest it takes, and whether this version has it. */
  readonly needs?: Need;
  /** The same for TCP alone, where BenUdp does without. */
  readonly tcpNeeds?: Need;
}

export interface Need {
  readonly what: string;
  readonly isThere: boolean;
}

/** What a test tells the table. */
export interface ParityMeta {
  readonly slug: string;
  readonly title: string;
  readonly transport: ParityTransport['name'];
  /** In words, where the transport has a way of its own. */
  readonly rule: string | undefined;
}

declare module 'vitest' {
  interface TaskMeta {
    parity?: ParityMeta;
  }
}

/** @param slug names the row for good: links and the table's order hang on it. */
export function behaviour(slug: string, title: string, { both, tcp, benUdp, needs, tcpNeeds }: Behaviour): void {
  describe(title, () => {
    for (const [transport, own] of [
      [TCP, tcp],
      [BEN_UDP, benUdp],
    ] as const) {
      const [rule, check] = own ?? [undefined, both];
      if (!check) {
        throw new Error(`the behaviour "${slug}" says nothing of ${transport.name}`);
      }
      it(`over ${transport.name}${rule === undefined ? '' : `: ${rule}`}`, async ({ task, skip }) => {
        task.meta.parity = { slug, title, transport: transport.name, rule };
        for (const need of transport === TCP ? [needs, tcpNeeds] : [needs]) {
          skip(need !== undefined && !need.isThere, `this version of Nest has no ${need?.what}`);
        }
        expect.hasAssertions();
        await check(transport);
      });
    }
  });
}
