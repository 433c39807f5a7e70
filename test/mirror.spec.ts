/** The tree of the tests mirrors lib: a unit has its spec by its name and place. Here are the exceptions, each with its reason. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

const filesIn = (folder: string, ending: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending))
    .map((file) => file.slice(0, -ending.length));

const units = filesIn('lib', '.ts');
const specs = [...new Set(filesIn('test', '.spec.ts').map((file) => file.replace(/\.slow$/, '')))];

const hasSpec = (name: string) => specs.includes(name);

/** Units without a spec of their name: where their behaviour is asserted, and why there. */
const TESTED_ELSEWHERE: Array<{ why: string; by: string[]; units: string[] }> = [
  {
    why: 'constants and types, whose values are checked by the specs of their users and of the docs',
    by: ['docs/errors', 'docs/options', 'protocol/vectors'],
    units: ['constants', 'errors', 'exchange/limits/exchange-limits', 'exchange/rejection', 'protocol/wire'],
  },
  {
    why: 'helpers of a few lines, which only their users show',
    by: ['public-types', 'protocol/seal', 'nest/reporter', 'protocol/parse-json', 'exchange/server-exchange'],
    units: ['brand', 'exchange/decision', 'format-endpoint', 'nest/diagnostics', 'protocol/own-property', 'random'],
  },
  {
    why: 'texts, escaped or read, in the places that show them',
    by: ['nest/log-text', 'nest/ben-udp.transport-options', 'nest/ben-udp.client', 'debug-log'],
    units: ['nest/ben-udp.client-options', 'option-reader', 'printable', 'server/describe-decision'],
  },
  {
    why: 'what all commands share is seen through the commands, and the process around them through the built program',
    by: ['cli/run', 'cli/send', 'cli/listen', 'cli/doctor', 'cli/provision', 'e2e/cli'],
    units: [
      'cli/addresses',
      'cli/board-client',
      'cli/board-client-v2',
      'cli/client',
      'cli/command',
      'cli/echo-server',
      'cli/exit-code',
      'cli/main',
      'cli/run-program',
      'cli/text',
      'cli/version',
    ],
  },
  {
    why: 'one pipeline, which only means something from a recording to its explanation',
    by: ['decode/decode', 'decode/capture', 'decode/v2'],
    units: [
      'decode/conversations',
      'decode/hex-text',
      'decode/opening',
      'decode/opening-v2',
      'decode/packet',
      'decode/recording',
      'decode/steps',
      'decode/steps-v2',
    ],
  },
  {
    why: 'parts of the v1 exchange, whose rules are about whole exchanges: decisions, datagrams, and the next hello',
    by: [
      'exchange/server-exchange',
      'exchange/repair',
      'exchange/ids/verifier',
      'exchange/limits/admission',
      'attacks',
    ],
    units: [
      'exchange/exchanges',
      'exchange/ids/id-candidate',
      'exchange/limits/admissions',
      'exchange/limits/holder',
      'exchange/limits/key-attempt-budget',
      'exchange/limits/request-credits',
      'exchange/reply-slots',
    ],
  },
  {
    why: 'parts of the v2 exchange, which two machines play against each other',
    by: ['exchange/v2/server-exchange', 'exchange/v2/topologies', 'client/v2-request-client', 'attacks-v2', 'model/v2'],
    units: [
      'exchange/v2/cookies',
      'exchange/v2/openings',
      'exchange/v2/pending',
      'exchange/v2/server-options',
      'exchange/v2/session-group',
    ],
  },
  {
    why: 'formats of one wire or text, which vectors and round trips check as a whole',
    by: ['protocol/v2/vectors', 'protocol/vectors', 'protocol/python-text/parse', 'protocol/python-text/print'],
    units: [
      'protocol/python-text/cursor',
      'protocol/python-text/key-name',
      'protocol/python-text/marked-map',
      'protocol/python-text/number',
      'protocol/python-text/string',
      'protocol/python-text/value',
      'protocol/random-blocks',
      'protocol/v2/frames',
      'protocol/v2/keys',
      'protocol/v2/session-ciphers',
      'protocol/v2/tag',
      'protocol/v2/text-cipher',
      'protocol/v2/wire',
    ],
  },
  {
    why: 'the two ways to JSON, by the tables of values that they share with the documents',
    by: ['protocol/json-text', 'protocol/value-kind', 'nest/relay/relay'],
    units: ['protocol/json-rules', 'protocol/json-value'],
  },
  {
    why: 'what carries a request of a client, which fails and is repeated as one',
    by: ['client/request-client', 'client/v2-request-client'],
    units: ['client/client-socket', 'client/request-failure', 'client/v2-client-session'],
  },
  {
    why: 'a contract with Nest, which only an app shows',
    by: [
      'parity/decorators',
      'parity/context',
      'e2e/health',
      'e2e/throttler',
      'nest/ben-udp.client',
      'nest/decorator-types',
    ],
    units: [
      'nest/ben-udp.context',
      'nest/ben-udp.device.guard',
      'nest/ben-udp.events',
      'nest/ben-udp.health',
      'nest/ben-udp.parameters',
      'nest/ben-udp.patterns',
      'nest/ben-udp.record-builder',
      'nest/ben-udp.request',
      'nest/ben-udp.tracker',
    ],
  },
  {
    why: 'one step of the transport, from start to reply',
    by: ['nest/start', 'e2e/errors', 'e2e/request', 'e2e/idempotency'],
    units: [
      'nest/answer-writer',
      'nest/bind-retry',
      'nest/error-answer',
      'nest/last-value',
      'nest/listen-reminder',
      'server/idempotent-answers',
    ],
  },
  {
    why: 'parts of the relay, which a broker joins',
    by: ['nest/relay/relay', 'nest/relay/ben-udp.worker', 'engines/relay'],
    units: [
      'nest/relay/ben-udp.relay.module',
      'nest/relay/nats-relay-client',
      'nest/relay/relay-client',
      'nest/relay/relay.controller',
      'nest/relay/relay-options',
      'nest/relay/unsent-error',
    ],
  },
  {
    why: 'the machine itself, in every test over real datagrams',
    by: ['e2e/request', 'cli/doctor', 'engines/reuse-port', 'attacks'],
    units: ['net/datagram-socket', 'net/platform'],
  },
];

/** Specs in the folders of lib that are about more than one unit. */
const ABOUT_MORE: Record<string, string> = {
  'cli/hostile': 'hostile arguments, files and peers, for every command',
  'decode/v2': 'recordings of protocol v2, through all of decode',
  'exchange/counts': 'random programs, after which each count is that of what it counts',
  'exchange/fleet-restart': 'a fleet that finds its server restarted',
  'exchange/repair': 'boards that fall out of step, and come back',
  'exchange/v2/topologies': 'sessions behind proxies, shared ports and new addresses',
  'nest/client-async-context': 'the async context of a request, from its subscription to its callbacks',
  'nest/decorator-types': 'the types of all decorators, as the compiler reports them',
  'nest/proxied': 'transport and client behind a Proxy, as tools of Nest and mocks make it',
  'nest/rejection-log': 'rejections, from the datagram to the log line',
  'nest/secrets': 'keys and payloads, which no log, error or inspection may show',
  'nest/start': 'the start of a transport, on a scripted machine',
  'protocol/v2/vectors': 'recorded datagrams of v2, byte for byte',
  'protocol/vectors': 'recorded datagrams of v1, byte for byte',
};

/** Whether a unit does something. The rest is types, or a list of other files. */
function hasCode(unit: string): boolean {
  return /^(?:export )?(?:abstract |async )?(?:class|function|const|let) /m.test(
    readFileSync(join(root, 'lib', `${unit}.ts`), 'utf8'),
  );
}

describe('test', () => {
  const excused = TESTED_ELSEWHERE.flatMap(({ units: names }) => names);

  it('has a spec for each unit of lib, or a reason', () => {
    expect(units.length).toBeGreaterThan(100);
    expect(units.filter((unit) => !hasSpec(unit) && !excused.includes(unit) && hasCode(unit))).toEqual([]);
  });

  it('has a unit for each spec in a folder of lib, or a reason', () => {
    const folders = new Set(units.map((unit) => unit.split('/')[0]).filter((name) => !units.includes(name!)));
    const misplaced = specs.filter((spec) => folders.has(spec.split('/')[0]!) && !units.includes(spec));
    expect(misplaced.filter((spec) => !(spec in ABOUT_MORE))).toEqual([]);
  });

  it('has no reason without its unit, or beside a spec of that name', () => {
    expect(excused.filter((unit) => !units.includes(unit) || hasSpec(unit) || !hasCode(unit))).toEqual([]);
    expect(TESTED_ELSEWHERE.flatMap(({ by }) => by).filter((spec) => !hasSpec(spec))).toEqual([]);
    expect(Object.keys(ABOUT_MORE).filter((spec) => !hasSpec(spec) || units.includes(spec))).toEqual([]);
  });
});
