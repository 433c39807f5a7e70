/** Key files are made once, and the secret is printed only where that was asked for. */
import { execFileSync } from 'node:child_process';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { keygen } from '../../lib/cli/index.js';
import { describe, expect, it } from 'vitest';
import { printCLiteral, printPythonLiteral } from '../../lib/cli/keygen.js';
import { deriveKey, fingerprint } from '../../lib/keys/index.js';
import { parsePythonText } from '../../lib/protocol/index.js';
import { runCommand } from '../support/cli-io.js';
import { temporaryFolder } from '../support/temporary-folder.js';

/** Whether any form in which bytes are printed shows some of the key. */
function leaks(text: string, contents: Buffer): boolean {
  const part = contents.subarray(0, 4);
  const forms = [
    part.toString('hex'),
    part.toString('latin1'),
    contents.toString('base64').slice(0, 5),
    Array.from(part, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
    Array.from(part, (byte) => `0x${byte.toString(16).padStart(2, '0')}`).join(', '),
  ];
  return forms.some((form) => text.includes(form));
}

async function newFile(): Promise<string> {
  return join(await temporaryFolder(), 'key.sec');
}

describe('keygen', () => {
  it('makes a file of 32 bytes for its owner alone, and prints its fingerprint and no byte of it', async () => {
    const file = await newFile();
    const { exitCode, io } = await runCommand(keygen, [file]);
    expect(exitCode).toBe(0);
    const contents = await readFile(file);
    expect(contents).toHaveLength(32);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(io.text).toContain(`key ${fingerprint(deriveKey(contents))}`);
    expect(io.text).toContain(`mpremote cp "${file}" :key.sec`);
    expect(io.stderr).toEqual([]);
    expect(leaks(io.text, contents)).toBe(false);
  });

  it('prints one JSON document with --json', async () => {
    const file = await newFile();
    const { io } = await runCommand(keygen, [file, '--json']);
    const contents = await readFile(file);
    expect(io.documents).toEqual([{ file, bytes: 32, fingerprint: fingerprint(deriveKey(contents)) }]);
  });

  it('prints literals and nothing else on standard output where asked for', async () => {
    const file = await newFile();
    const { io } = await runCommand(keygen, [file, '--c', '--python']);
    const contents = await readFile(file);
    expect(io.stdout).toEqual([printCLiteral(contents), printPythonLiteral(contents)]);
    expect(io.errors).toContain('is the secret itself');
    expect(leaks(io.text, contents)).toBe(true);
    expect(leaks(io.errors, contents)).toBe(false);
  });

  it('prints the literals of a file that is there with --existing, and makes none', async () => {
    const file = await newFile();
    await runCommand(keygen, [file]);
    const contents = await readFile(file);
    const { exitCode, io } = await runCommand(keygen, [file, '--existing', '--python', '--json']);
    expect(exitCode).toBe(0);
    expect(io.documents).toEqual([
      { file, bytes: 32, fingerprint: fingerprint(deriveKey(contents)), python: printPythonLiteral(contents) },
    ]);
    expect(await readFile(file)).toEqual(contents);
  });

  it('never overwrites, and says what to do', async () => {
    const file = await newFile();
    await writeFile(file, 'precious');
    const { exitCode, io } = await runCommand(keygen, [file, '--c', '--json']);
    expect(exitCode).toBe(1);
    expect(io.errors).toMatch(/exists and is not overwritten.*\n.*--existing/);
    expect(io.documents).toMatchObject([{ outcome: 'failed', code: 'BEN_KEY_FILE_EXISTS' }]);
    expect(await readFile(file, 'utf8')).toBe('precious');
  });

  it('names the reason where the file cannot be written', async () => {
    const { exitCode, io } = await runCommand(keygen, [join(await temporaryFolder(), 'none', 'key.sec')]);
    expect(exitCode).toBe(1);
    expect(io.errors).toMatch(/can't be written \(ENOENT\)\n.*folder/);
  });

  it.each([
    [[], /nothing was named/],
    [['a', 'b'], /too many words/],
    [['a', '--existing'], /--c or --python/],
    [['a', '--any-key-file'], /--existing/],
    [['a', '--nonsense'], /--nonsense/],
  ])('refuses %j', async (args, message) => {
    const { exitCode, io } = await runCommand(keygen, args);
    expect(exitCode).toBe(2);
    expect(io.errors).toMatch(message);
    expect(io.stdout).toEqual([]);
  });

  it.each([
    ['missing', undefined, 0o600, 'BEN_KEY_FILE_MISSING'],
    ['short', 31, 0o600, 'BEN_KEY_FILE_TOO_SHORT'],
    ['readable by others', 32, 0o644, 'BEN_KEY_FILE_READABLE_BY_OTHERS'],
  ])('refuses to print a file that is %s', async (_what, length, mode, code) => {
    const file = await newFile();
    if (length !== undefined) {
      await writeFile(file, Buffer.alloc(length, 7));
      await chmod(file, mode);
    }
    const { exitCode, io } = await runCommand(keygen, [file, '--existing', '--c', '--json']);
    expect(exitCode).toBe(1);
    expect(io.documents).toMatchObject([{ code }]);
    expect(io.text).not.toContain('0x07');
  });

  it('refuses a file that is no key at all, also with --any-key-file', async () => {
    const file = await newFile();
    await writeFile(file, Buffer.alloc(4097, 7), { mode: 0o600 });
    const { exitCode, io } = await runCommand(keygen, [file, '--existing', '--c', '--any-key-file']);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('4097 bytes');
    await writeFile(file, Buffer.alloc(4096, 7));
    expect((await runCommand(keygen, [file, '--existing', '--c', '--any-key-file'])).exitCode).toBe(0);
  });

  it('explains itself on one screen', async () => {
    const { exitCode, io } = await runCommand(keygen, ['--help']);
    expect(exitCode).toBe(0);
    expect(io.text.split('\n').length).toBeLessThan(25);
    expect(io.text).toContain('Exit codes: 0 made');
  });
});

const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

describe('printPythonLiteral', () => {
  it('is read back as the same bytes', () => {
    const [, assignment] = printPythonLiteral(ALL_BYTES).split('\n');
    expect(parsePythonText(assignment!.replace('BEN_KEY_FILE = ', ''))).toEqual(ALL_BYTES);
  });
});

describe('printCLiteral', () => {
  it('holds every byte, in order', () => {
    const hex = [...printCLiteral(ALL_BYTES).matchAll(/0x([0-9a-f]{2})/g)].map(([, digits]) => digits).join('');
    expect(Buffer.from(hex, 'hex')).toEqual(ALL_BYTES);
    expect(printCLiteral(ALL_BYTES)).toContain('ben_key_file[256] = {');
  });

  it.skipIf(!hasCompiler())('is C (skipped where there is no C compiler)', () => {
    const source = `${printCLiteral(ALL_BYTES)}\nint main(void) { return ben_key_file[255] == 255 ? 0 : 1; }`;
    const compile = () =>
      execFileSync('cc', ['-Wall', '-Werror', '-fsyntax-only', '-x', 'c', '-'], { input: source, encoding: 'utf8' });
    expect(compile()).toBe('');
  });
});

function hasCompiler(): boolean {
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
