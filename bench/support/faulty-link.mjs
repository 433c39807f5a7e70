/** The fault model of the library's testing kit. A file of this package, because bench/peers is one of its own. */
import { nodePlatform } from '#lib/net/index.js';
import { Agenda } from '#lib/testing/agenda.js';
import { FaultyLink } from '#lib/testing/faulty-link.js';
import { Random } from '#lib/testing/random.js';

/** A link in real time. */
export function createFaultyLink() {
  return new FaultyLink(new Agenda(nodePlatform), new Random(1));
}
