/**
 * `keygen`: makes a key file. Prints no byte of the secret, unless a literal for firmware is requested.
 */
import { basename, dirname, join, resolve } from 'node:path';
import { BenUdpError } from '../errors.js';
import { KEY_BYTES } from '../protocol/index.js';
import { deriveKey, fingerprint, generateKeyFile, readKeyFile } from '../keys/index.js';
import { CliFailure, UsageError, defineCommand } from './command.js';
import { EXIT_CODES } from './exit-code.js';
import type { CliIo } from './io.js';
import { type KeyValues, keyFileChecks, rethrowExplained } from './key.js';
import { PROGRAM, printDocument } from './text.js';

const HELP = `Makes a key file: ${KEY_BYTES} random bytes, readable only by you. Never overwrites a file.
Server and board need the same file. The client on the board reads it as key.sec.

  --c             print the secret as a C literal, for firmware without files
  --python        print the secret as a Python literal
  --existing      do not make a file: print the secret in FILE
  --any-key-file  with --existing: accept a file that is short or readable by others
  --json          one JSON document: file, bytes, fingerprint, isIgnoredByGit; c and python on request

With --c or --python, standard output holds the secret: anyone who reads it can impersonate your boards.
The fingerprint names a key and reveals nothing about it. Server and client print the same one for the same key.

Examples:
  ${PROGRAM} keygen keys/kitchen.sec
  ${PROGRAM} keygen keys/kitchen.sec --existing --c > key.h

Exit codes: 0 made, 1 not made, 2 wrong usage.`;

/** Largest file that is printed as a literal. A longer one is not a key. */
const MAX_LITERAL_BYTES = 4096;

const BYTES_PER_LINE = 8;

export const keygen = defineCommand({
  name: 'keygen',
  args: ['FILE'],
  required: 1,
  help: HELP,
  options: {
    c: { type: 'boolean' },
    python: { type: 'boolean' },
    existing: { type: 'boolean' },
    'any-key-file': { type: 'boolean' },
  },
  async run({ values, positionals: [path] }, io) {
    const wantsLiteral = values.c === true || values.python === true;
    if (values.existing && !wantsLiteral) {
      throw new UsageError('--existing prints the secret: add the form, --c or --python');
    }
    if (values['any-key-file'] && !values.existing) {
      throw new UsageError('--any-key-file needs --existing, because a new key file always passes the checks');
    }
    const file = path!;
    const made = values.existing ? undefined : await makeKeyFile(file);
    const contents = wantsLiteral ? await read(file, values) : undefined;
    const literals = {
      c: contents && values.c ? printCLiteral(contents) : undefined,
      python: contents && values.python ? printPythonLiteral(contents) : undefined,
    };
    const print = made ?? fingerprintOf(contents!);
    const bytes = contents?.length ?? KEY_BYTES;
    contents?.fill(0);
    const isIgnoredByGit = await checkGit(file, io);
    if (values.json) {
      io.out(printDocument({ file, bytes, fingerprint: print, isIgnoredByGit, ...literals }));
    } else {
      tell({ file, print, isNew: made !== undefined, isIgnoredByGit, literals: [literals.c, literals.python] }, io);
    }
    return EXIT_CODES.ok;
  },
});

/**
 * Makes a key file.
 *
 * @returns the fingerprint of the key.
 * @throws CliFailure
 */
export async function makeKeyFile(file: string): Promise<string> {
  return generateKeyFile(file).catch((error: unknown): never => {
    if (!(error instanceof BenUdpError)) {
      throw error;
    }
    const { code, cause, message } = error;
    const absolute = resolve(file);
    if (code === 'BEN_KEY_FILE_EXISTS') {
      throw new CliFailure(
        `"${absolute}" exists and is not overwritten: devices that hold its key would be locked out`,
        {
          code,
          hint: 'Name another file, or remove this one first. To print its secret: --existing --c or --python.',
        },
      );
    }
    const reason = (cause as NodeJS.ErrnoException | undefined)?.code;
    throw new CliFailure(reason ? `"${absolute}" can't be written (${reason})` : message, {
      code,
      hint:
        reason === 'ENOENT'
          ? `Make its folder first:\n  mkdir -p "${dirname(file)}"`
          : 'Check that you may write to its folder.',
    });
  });
}

/** Whether git ignores a file; `undefined` outside a git folder, or without git. */
export async function checkGit(file: string, { runProgram }: CliIo): Promise<boolean | undefined> {
  const absolute = resolve(file);
  const { exitCode } = await runProgram('git', ['check-ignore', '-q', '--', absolute], dirname(absolute));
  return exitCode === 0 ? true : exitCode === 1 ? false : undefined;
}

/** The option of the server for a key file: the name of the file names the board. */
export function serverOption(file: string): string {
  const name = basename(file).replace(/\.[^.]*$/, '');
  const path = quote(file.replaceAll('\\', '/'));
  // A device has a name.
  if (name === 'key' || name === '') {
    return `keyFile: ${path}`;
  }
  return `keys: { ${/^[A-Za-z_$][\w$]*$/.test(name) ? name : quote(name)}: ${path} }`;
}

/** Advice on a new key file and git. */
export function describeGit(file: string, isIgnored: boolean | undefined): string {
  switch (isIgnored) {
    case true:
      return 'git ignores the file, so no commit contains it.';
    case false:
      return `git would commit the file. To prevent that:\n  ${ignoreCommand(file)}`;
    default:
      return 'Keep it out of version control.';
  }
}

/** The file's own folder, because the current one may be in another repository. */
function ignoreCommand(file: string): string {
  const pattern = basename(file).replaceAll(/^[!#]|[\\*?[ ]/g, '\\$&');
  const list = join(dirname(file), '.gitignore');
  return `echo ${quoteForShell(pattern)} >> ${/^[\w./-]+$/.test(list) ? list : quoteForShell(list)}`;
}

function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** A string of JavaScript. */
export function quote(text: string): string {
  return `'${text.replaceAll(/['\\]/g, '\\$&')}'`;
}

async function read(file: string, values: Pick<KeyValues, 'any-key-file'>): Promise<Buffer> {
  const { bytes: contents } = await readKeyFile(file, keyFileChecks(values)).catch(rethrowExplained(file));
  if (contents.length > MAX_LITERAL_BYTES) {
    throw new CliFailure(`"${file}" holds ${contents.length} bytes, too many for a literal`, {
      hint: `A key file holds ${KEY_BYTES} bytes. Is it the right file?`,
    });
  }
  return contents;
}

function fingerprintOf(contents: Uint8Array): string {
  const key = deriveKey(contents);
  const print = fingerprint(key);
  key.fill(0);
  return print;
}

interface PrintedKey {
  readonly file: string;
  readonly print: string;
  readonly isNew: boolean;
  readonly isIgnoredByGit: boolean | undefined;
  readonly literals: readonly (string | undefined)[];
}

/** If standard output is the secret, for a source file, all else goes to standard error. */
function tell({ file, print, isNew, isIgnoredByGit, literals }: PrintedKey, io: CliIo): void {
  const printed = literals.filter((literal) => literal !== undefined);
  const say = printed.length > 0 ? io.err : io.out;
  say(`${isNew ? 'Made' : 'Read'} ${file}: key ${print}.`);
  if (isNew) {
    say(`
The server:  new BenUdpTransport({ ${serverOption(file)} })
A board:     mpremote cp "${file}" :key.sec
Try it:      ${PROGRAM} listen --key-file "${file}"

It is a secret: anyone who has it can speak for your boards. ${describeGit(file, isIgnoredByGit)}`);
  }
  printed.forEach((literal) => io.out(literal));
  if (printed.length > 0) {
    say('The printed text is the secret itself.');
  }
}

/** The contents of a key file, not the AES key: devices hash it, as they hash the file. */
export function printCLiteral(contents: Uint8Array): string {
  const bytes = Array.from(contents, (byte) => `0x${byte.toString(16).padStart(2, '0')}`);
  const lines = Array.from({ length: Math.ceil(bytes.length / BYTES_PER_LINE) }, (_, line) =>
    bytes.slice(line * BYTES_PER_LINE, (line + 1) * BYTES_PER_LINE).join(', '),
  );
  return [
    '/* Contents of the key file. The AES-256 key is their SHA-256. Secret. */',
    `static const unsigned char ben_key_file[${contents.length}] = {`,
    ...lines.map((line) => `    ${line},`),
    '};',
  ].join('\n');
}

/** As `printCLiteral`. Every byte is hex, so no editor and no encoding changes one. */
export function printPythonLiteral(contents: Uint8Array): string {
  const bytes = Array.from(contents, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  return [
    '# Contents of the key file: on the board, open("key.sec", "wb").write(BEN_KEY_FILE). Secret.',
    `BEN_KEY_FILE = b'${bytes}'`,
  ].join('\n');
}
