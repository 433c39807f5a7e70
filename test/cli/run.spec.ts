/** Which command, and what there is. */
import { readFileSync } from 'node:fs';
import { EXIT_CODES, run } from '../../lib/cli/index.js';
import { describe, expect, it } from 'vitest';
import { runCommand } from '../support/cli-io.js';

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

describe('run', () => {
  it.each(['--help', '-h', 'help'])('lists the commands on one screen for %s', async (word) => {
    const { exitCode, io } = await runCommand(run, [word]);
    expect(exitCode).toBe(0);
    for (const name of ['keygen', 'send', 'listen', 'decode', 'doctor']) {
      expect(io.text).toContain(`\n  ${name} `);
    }
    expect(io.text.split('\n').length).toBeLessThan(25);
  });

  it.each(['keygen', 'send', 'listen', 'decode', 'doctor'])('has %s', async (name) => {
    const { exitCode, io } = await runCommand(run, [name, '--help']);
    expect(exitCode).toBe(0);
    expect(io.text).toMatch(new RegExp(`^nestjs-ben-udp ${name} [\\s\\S]+\\nExit codes: 0`));
  });

  it('prints the version of the package', async () => {
    expect((await runCommand(run, ['--version'])).io.stdout).toEqual([manifest.version]);
  });

  it('prints the help as an error where nothing is named', async () => {
    const { exitCode, io } = await runCommand(run, []);
    expect(exitCode).toBe(2);
    expect(io.stdout).toEqual([]);
    expect(io.errors).toContain('keygen FILE');
  });

  it.each(['sned', 'constructor', '__proto__'])('names the commands there are instead of %s', async (word) => {
    const { exitCode, io } = await runCommand(run, [word]);
    expect(exitCode).toBe(2);
    expect(io.errors).toContain(`there is no command "${word}"\nThere are keygen, send, listen, decode, doctor.`);
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
