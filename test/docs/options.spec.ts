/**
 * docs/options.md is made from the docstrings and the real defaults, so both have one source:
 *
 *     npx vitest run --config test/vitest.config.ts test/docs/options.spec.ts -u
 */
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { describe, expect, it } from 'vitest';
import { KEY_OPTION_NAMES } from '../../lib/keys/key-options.js';
import { resolveClientOptions } from '../../lib/nest/ben-udp.client-options.js';
import { resolveTransportOptions } from '../../lib/nest/ben-udp.transport-options.js';
import { type Member, formatDefault, readMembers } from './interfaces.js';
import { root } from './pages.js';

const PAGE = join(root, 'docs/options.md');

/** Escapes the text of a cell. */
const inCell = (text: string) => text.replaceAll('|', '\\|');

function formatTable(options: readonly Member[], defaults: Readonly<Record<string, unknown>>): string {
  const rows = options.map(
    ({ name, type, meaning }) =>
      `| \`${name}\` | ${formatDefault(defaults[name])} | ${inCell(meaning)} | \`${inCell(type)}\` |`,
  );
  return ['| Option | Default | | Type |', '|---|---|---|---|', ...rows].join('\n');
}

const key = new Uint8Array(32);
const { inFlight, limits, ...transport } = resolveTransportOptions({ key });
const { client, call, keys, protocol } = resolveClientOptions({ key });
const keyDefaults = { keyFile: 'key.sec', keyFileChecks: keys.keyFileChecks, key: undefined, keys: undefined };
const transportDefaults = { ...transport, ...inFlight, ...keyDefaults };
const { keys: _several, ...oneKeyDefaults } = keyDefaults;
const clientDefaults = { ...client, ...call, ...oneKeyDefaults, protocol };

const SECTIONS = {
  BenUdpTransportOptions: transportDefaults,
  BenUdpClientOptions: clientDefaults,
  BenUdpLimits: limits,
} as const;

function formatPage(): string {
  const table = (name: keyof typeof SECTIONS) => formatTable(readMembers(name), SECTIONS[name] as never);
  return `# Options

<!-- Made from the docstrings by test/docs/options.spec.ts; changes by hand are lost. -->

Times are in milliseconds, sizes in bytes. A wrong or unknown option throws a \`TypeError\` or \`RangeError\` at construction. The message
names the option, the expectation and the wrong value, but never a key. \`listen\` and \`connect\` read the key files, and fail with the
[errors](errors.md) of key files.

## Server

These are the options of \`new BenUdpTransport(options)\` and \`BenUdpModule.forRoot(options)\`, and the result of the factory of
\`BenUdpModule.forRootAsync\`. \`reloadKeys\` takes the first ${KEY_OPTION_NAMES.length}.

${table('BenUdpTransportOptions')}

### Limits

These are the members of the option \`limits\`. Each is a rate, \`{ perSecond, burst }\`: \`burst\` at once, then \`perSecond\`, each 1 to
1000000000. A datagram beyond it is dropped, and counted under its [reason](errors.md#datagrams-without-an-answer).

${table('BenUdpLimits')}

## Client

These are the options of \`new BenUdpClient(options)\` and \`ClientsModule.register([{ name, customClass: BenUdpClient, options }])\`.
\`BenUdpRecordBuilder\` sets \`timeout\`, \`retries\` and \`idempotent\` for a single request, and its \`idempotencyKey\`.

${table('BenUdpClientOptions')}
`;
}

describe('docs/options.md', () => {
  it('has the docstrings and the defaults', async () => {
    const page = await format(formatPage(), { ...(await resolveConfig(PAGE)), filepath: PAGE });
    await expect(page).toMatchFileSnapshot(PAGE);
  });

  it.each(Object.entries(SECTIONS))('%s has a docstring for each option', (name, defaults) => {
    const options = readMembers(name);
    expect(options.filter(({ meaning }) => meaning === '')).toEqual([]);
    expect(options.length).toBeGreaterThan(5);
    const unknown = Object.keys(defaults).filter((each) => !options.some((option) => option.name === each));
    expect(unknown).toEqual([]);
  });

  it.each(Object.entries(SECTIONS))('the docstrings of %s give the real defaults', (name, defaults) => {
    const told = readMembers(name).flatMap((option) => {
      const [, after] = /Default:? `?([^\s`,;]+?)`?(?=[\s,;:]|\.?$|\. )/.exec(option.meaning) ?? [];
      const [, before] = /(?:^|[\s:])`?([\w.]+)`? \(default\)/.exec(option.meaning) ?? [];
      return (after ?? before) ? [[option.name, after ?? before] as const] : [];
    });
    expect(told.length).toBeGreaterThan(5);
    for (const [option, text] of told) {
      const value = (defaults as unknown as Record<string, unknown>)[option];
      // `Default: the system's choice.`
      expect(text, option).toBe(isRate(value) ? String(value.perSecond) : String(value ?? 'the'));
    }
  });
});

function isRate(value: unknown): value is { readonly perSecond: number } {
  return typeof value === 'object' && value !== null && 'perSecond' in value;
}
