/** `keygen` makes a key file once, and prints the secret only on request. */
import { execFileSync } from 'node:child_process';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { keygen } from '../../lib/cli/keygen.js';
import { describe, expect, it } from 'vitest';
import { printCLiteral, printPythonLiteral } from '../../lib/cli/keygen.js';
import { deriveKey, fingerprint } from '../../lib/keys/index.js';
import { parsePythonText } from '../../lib/protocol/index.js';
import { MAX_HELP_LINES, runCommand } from '../support/cli-io.js';
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
  it('makes a file of 32 bytes for its owner alone, and prints its fingerprint but no byte', async () => {
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

  it.each([
    ['key.sec', "new BenUdpTransport({ keyFile: '%' })"],
    ['kitchen.sec', "new BenUdpTransport({ keys: { kitchen: '%' } })"],
    ['living-room.sec', "new BenUdpTransport({ keys: { 'living-room': '%' } })"],
    ['.sec', "new BenUdpTransport({ keyFile: '%' })"],
  ])('suggests the options of the server for %s', async (name, line) => {
    const file = join(await temporaryFolder(), name);
    const { io } = await runCommand(keygen, [file]);
    expect(io.text).toContain(`The server:  ${line.replace('%', file)}`);
    expect(io.text).toContain(`Try it:      npx nestjs-ben-udp listen --key-file "${file}"`);
  });

  it.skipIf(!hasProgram('git'))('tells whether git would commit the file (skipped without git)', async () => {
    const folder = await temporaryFolder();
    const advise = async (name: string) => (await runCommand(keygen, [join(folder, name)])).io.text;
    expect(await advise('outside.sec')).toContain('Keep it out of version control.');
    execFileSync('git', ['init', '-q', folder]);
    expect(await advise('kitchen.sec')).toContain(
      `git would commit the file. To prevent that:\n  echo 'kitchen.sec' >> ${folder}/.gitignore`,
    );
    await writeFile(join(folder, '.gitignore'), '*.sec\n');
    expect(await advise('garden.sec')).toContain('git ignores the file');
    const { io } = await runCommand(keygen, [join(folder, 'json.sec'), '--json']);
    expect(io.documents[0]).toMatchObject({ isIgnoredByGit: true });
  });

  it
    .skipIf(!hasProgram('git') || process.platform === 'win32')
    .each(['kitchen.sec', "cook's.sec", '!garden.sec', '#1.sec', 'room [2].sec', '$HOME*.sec', '-n.sec'])(
    'names a command with which git ignores %s from any folder (skipped without git)',
    async (name) => {
      const folder = join(await temporaryFolder(), 'house of keys');
      execFileSync('git', ['init', '-q', folder]);
      const { io } = await runCommand(keygen, ['--', join(folder, name)]);
      execFileSync('sh', ['-c', io.text.split('To prevent that:\n')[1]!]);
      const listed = execFileSync('git', ['status', '--porcelain', '-z'], { cwd: folder }).toString();
      expect(listed).toBe('?? .gitignore\0');
    },
  );

  it('prints nothing but literals on standard output, on request', async () => {
    const file = await newFile();
    const { io } = await runCommand(keygen, [file, '--c', '--python']);
    const contents = await readFile(file);
    expect(io.stdout).toEqual([printCLiteral(contents), printPythonLiteral(contents)]);
    expect(io.errors).toContain('The printed text is the secret itself');
    expect(leaks(io.text, contents)).toBe(true);
    expect(leaks(io.errors, contents)).toBe(false);
  });

  it('prints the literals of an existing file with --existing', async () => {
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

  it('never overwrites, and names the next step', async () => {
    const file = await newFile();
    await writeFile(file, 'precious');
    const { exitCode, io } = await runCommand(keygen, [file, '--c', '--json']);
    expect(exitCode).toBe(1);
    expect(io.errors).toMatch(/exists and is not overwritten.*\n.*--existing/);
    expect(io.documents).toMatchObject([{ outcome: 'failed', code: 'BEN_KEY_FILE_EXISTS' }]);
    expect(await readFile(file, 'utf8')).toBe('precious');
  });

  it('names the reason if the file cannot be written', async () => {
    const { exitCode, io } = await runCommand(keygen, [join(await temporaryFolder(), 'none', 'key.sec')]);
    expect(exitCode).toBe(1);
    expect(io.errors).toMatch(/can't be written \(ENOENT\)\nMake its folder first:\n {2}mkdir -p/);
  });

  it.each([
    [[], /missing argument FILE/],
    [['a', 'b'], /too many arguments/],
    [['a', '--existing'], /--c or --python/],
    [['a', '--any-key-file'], /--existing/],
    [['a', '--nonsense'], /there is no option --nonsense/],
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

  it('refuses a file too large for a key, also with --any-key-file', async () => {
    const file = await newFile();
    await writeFile(file, Buffer.alloc(4097, 7), { mode: 0o600 });
    const { exitCode, io } = await runCommand(keygen, [file, '--existing', '--c', '--any-key-file']);
    expect(exitCode).toBe(1);
    expect(io.errors).toContain('4097 bytes');
    await writeFile(file, Buffer.alloc(4096, 7));
    expect((await runCommand(keygen, [file, '--existing', '--c', '--any-key-file'])).exitCode).toBe(0);
  });

  it('explains itself on one screen, with examples', async () => {
    const { exitCode, io } = await runCommand(keygen, ['--help']);
    expect(exitCode).toBe(0);
    expect(io.text.split('\n').length).toBeLessThan(MAX_HELP_LINES);
    expect(io.text).toContain('\nExamples:\n  npx nestjs-ben-udp ');
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

  it.skipIf(!hasProgram('cc'))('is C (skipped without a C compiler)', () => {
    const source = `${printCLiteral(ALL_BYTES)}\nint main(void) { return ben_key_file[255] == 255 ? 0 : 1; }`;
    const compile = () =>
      execFileSync('cc', ['-Wall', '-Werror', '-fsyntax-only', '-x', 'c', '-'], { input: source, encoding: 'utf8' });
    expect(compile()).toBe('');
  });
});

function hasProgram(name: string): boolean {
  try {
    execFileSync(name, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
