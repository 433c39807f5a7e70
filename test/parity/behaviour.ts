/**
 * Names one behaviour of Nest's transports and tests it over TCP and over BenUdp. Each becomes a row of docs/parity.md, which
 * `npm run test:parity -- --save` writes from the run.
 */
import { describe, expect, it } from 'vitest';
import { type ParityTransport, BEN_UDP, TCP } from './transports.js';

type Check = (transport: ParityTransport) => Promise<void>;

/** The own rule of one transport: a sentence that the table quotes, and its test. */
type OwnWay = readonly [rule: string, check: Check];

export interface Behaviour {
  /** Both transports have it, by one test. */
  readonly both?: Check;
  /** Or each has its own rule. */
  readonly tcp?: OwnWay;
  readonly benUdp?: OwnWay;
  /** The feature of Nest that it needs, and whether this version has it. */
  readonly needs?: Need;
  /** The same for TCP only, if BenUdp does not need it. */
  readonly tcpNeeds?: Need;
}

export interface Need {
  readonly what: string;
  readonly isThere: boolean;
}

/** The data of a test for the table. */
export interface ParityMeta {
  readonly slug: string;
  readonly title: string;
  readonly transport: ParityTransport['name'];
  /** In words, if the transport has its own rule. */
  readonly rule: string | undefined;
}

declare module 'vitest' {
  interface TaskMeta {
    parity?: ParityMeta;
  }
}

/** @param slug names the row. It must not change, because links and the order of the table depend on it. */
export function behaviour(slug: string, title: string, { both, tcp, benUdp, needs, tcpNeeds }: Behaviour): void {
  describe(title, () => {
    for (const [transport, own] of [
      [TCP, tcp],
      [BEN_UDP, benUdp],
    ] as const) {
      const [rule, check] = own ?? [undefined, both];
      if (!check) {
        throw new Error(`the behaviour "${slug}" has no test for ${transport.name}`);
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
