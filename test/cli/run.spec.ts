/** The list of commands, and the choice of one. */
import { readFileSync } from 'node:fs';
import { EXIT_CODES } from '../../lib/cli/exit-code.js';
import { run } from '../../lib/cli/run.js';
import { describe, expect, it } from 'vitest';
import { readDuration } from '../../lib/cli/command.js';
import { MAX_HELP_LINES, runCommand } from '../support/cli-io.js';

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const COMMANDS = ['keygen', 'provision', 'send', 'listen', 'fleet', 'decode', 'doctor'];

describe('run', () => {
  it.each(['--help', '-h', 'help'])('lists the commands on one screen for %s', async (word) => {
    const { exitCode, io } = await runCommand(run, [word]);
    expect(exitCode).toBe(0);
    for (const name of COMMANDS) {
      expect(io.text).toContain(`\n  ${name} `);
    }
    expect(io.text.split('\n').length).toBeLessThan(MAX_HELP_LINES);
  });

  it.each(COMMANDS)('has %s', async (name) => {
    const { exitCode, io } = await runCommand(run, [name, '--help']);
    expect(exitCode).toBe(0);
    expect(io.text).toMatch(new RegExp(`^npx nestjs-ben-udp ${name} [\\s\\S]+\\nExit codes: 0`));
  });

  it.each(COMMANDS)('explains %s after help', async (name) => {
    const help = await runCommand(run, ['help', name]);
    expect(help.exitCode).toBe(0);
    expect(help.io.stdout).toEqual((await runCommand(run, [name, '--help'])).io.stdout);
  });

  it.each(['--version', '-V'])('prints the version of the package for %s', async (option) => {
    expect((await runCommand(run, [option])).io.stdout).toEqual([manifest.version]);
  });

  it('prints the help as an error without a command', async () => {
    const { exitCode, io } = await runCommand(run, []);
    expect(exitCode).toBe(2);
    expect(io.stdout).toEqual([]);
    expect(io.errors).toContain('keygen FILE');
  });

  it.each([
    ['sned', 'send'],
    ['keygn', 'keygen'],
    ['docotr', 'doctor'],
    ['constructor', undefined],
    ['__proto__', undefined],
    ['x'.repeat(41), undefined],
  ])('suggests the command behind %s', async (word, suggestion) => {
    const expected = suggestion ? `"${word}"; did you mean ${suggestion}?` : `"${word.slice(0, 40)}"`;
    for (const args of [[word], ['help', word]]) {
      const { exitCode, io } = await runCommand(run, args);
      expect(exitCode).toBe(2);
      expect(io.stderr).toEqual([
        `nestjs-ben-udp: there is no command ${expected}`,
        `Commands: ${COMMANDS.join(', ')}. See: npx nestjs-ben-udp --help`,
      ]);
    }
  });
});

describe('an option', () => {
  it.each([
    [['--tiemout', '5'], 'there is no option --tiemout; did you mean --timeout?'],
    [['--nonsense=secret'], 'there is no option --nonsense'],
    [['-x'], 'there is no option -x'],
    [['--json=yes'], '--json takes no value'],
    [['--timeout'], '--timeout needs a value'],
    [['--key-file', '--json'], '--key-file needs a value'],
    [['--__proto__'], 'there is no option --__proto__'],
  ])('is refused in our words: %j', async (args, message) => {
    const { exitCode, io } = await runCommand(run, ['send', 'h', 'a', ...args]);
    expect(exitCode).toBe(2);
    expect(io.stderr).toEqual([
      `nestjs-ben-udp send: ${message}`,
      'Usage: npx nestjs-ben-udp send HOST[:PORT] ACTION [JSON] [options]',
      'See: npx nestjs-ben-udp send --help',
    ]);
  });
});

describe('readDuration', () => {
  it.each([
    ['500', 500],
    ['500ms', 500],
    ['5s', 5000],
    ['1.5s', 1500],
    ['2m', 120_000],
    ['1h', 3_600_000],
    [undefined, 7],
  ])('reads %s as %i ms', (text, ms) => {
    expect(readDuration('timeout', text, 7, 10, 3_600_000)).toBe(ms);
  });

  it.each(['', '9', '3600001', '5 s', '-5s', '5d', '1e3', 's', '1.s', '.5s', 'Infinity'])('refuses %j', (text) => {
    expect(() => readDuration('timeout', text, 7, 10, 3_600_000)).toThrow(
      '--timeout is a time from 10 to 3600000 ms: 500, 500ms, 5s or 2m',
    );
  });
});

describe('EXIT_CODES', () => {
  it('is the closed list that the documentation names', () => {
    expect(EXIT_CODES).toEqual({
      ok: 0,
      failed: 1,
      usage: 2,
      noAnswer: 3,
      errorReply: 4,
      bug: 70,
      interrupted: 130,
    });
  });
});
