/**
 * `keygen`: a new key file, and on request the same secret as a literal for firmware. Without that request no byte of it is printed.
 */
import { resolve } from 'node:path';
import { BenUdpError } from '../errors.js';
import { KEY_BYTES } from '../protocol/index.js';
import { deriveKey, fingerprint, generateKeyFile, readKeyFile } from '../keys/index.js';
import { CliFailure, UsageError, defineCommand } from './command.js';
import { EXIT_CODES } from './exit-code.js';
import type { CliIo } from './io.js';
import { type KeyValues, explainKeyFile, keyFileChecks } from './key.js';
import { printDocument } from './text.js';

const HELP = `nestjs-ben-udp keygen FILE [--c] [--python] [--existing] [--json]

Makes a key file: ${KEY_BYTES} random bytes, readable by you alone. Never overwrites a file.
Server and devices need the same file: upstream's client reads it as key.sec.

  --c             print the secret as a C literal, for firmware that has no files
  --python        print the secret as a Python literal
  --existing      make nothing: print the secret that FILE holds already
  --any-key-file  with --existing: take a file that is short or readable by others
  --json          one JSON document: file, bytes, fingerprint; c and python where asked for

With --c or --python standard output holds the secret: whoever reads it can speak for your devices.
The fingerprint names a key and tells nothing about it; server and client print the same for the same key.

Exit codes: 0 made, 1 not made, 2 wrong usage.`;

/** A literal is written into a source file; a key file that is longer than this is no key. */
const MAX_LITERAL_BYTES = 4096;

const BYTES_PER_LINE = 8;

export const keygen = defineCommand({
  name: 'keygen',
  help: HELP,
  options: {
    c: { type: 'boolean' },
    python: { type: 'boolean' },
    existing: { type: 'boolean' },
    'any-key-file': { type: 'boolean' },
  },
  positionals: { min: 1, max: 1 },
  async run({ values, positionals: [path] }, io) {
    const wantsLiteral = values.c === true || values.python === true;
    if (values.existing && !wantsLiteral) {
      throw new UsageError('--existing prints the secret that is there: say in which form, --c or --python');
    }
    if (values['any-key-file'] && !values.existing) {
      throw new UsageError('--any-key-file is for --existing: a new key file is always a good one');
    }
    const file = path!;
    const made = values.existing ? undefined : await make(file);
    const contents = wantsLiteral ? await read(file, values) : undefined;
    const literals = {
      c: contents && values.c ? printCLiteral(contents) : undefined,
      python: contents && values.python ? printPythonLiteral(contents) : undefined,
    };
    const name = made ?? nameOf(contents!);
    const bytes = contents?.length ?? KEY_BYTES;
    contents?.fill(0);
    if (values.json) {
      io.out(printDocument({ file, bytes, fingerprint: name, ...literals }));
    } else {
      tell({ file, name, isNew: made !== undefined, literals: [literals.c, literals.python] }, io);
    }
    return EXIT_CODES.ok;
  },
});

async function make(file: string): Promise<string> {
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
          hint: 'Name another file, or remove this one first. To print the secret it holds: --existing --c or --python.',
        },
      );
    }
    const reason = (cause as NodeJS.ErrnoException | undefined)?.code;
    throw new CliFailure(reason ? `"${absolute}" can't be written (${reason})` : message, {
      code,
      hint: 'Does its folder exist, and may you write there?',
    });
  });
}

async function read(file: string, values: Pick<KeyValues, 'any-key-file'>): Promise<Buffer> {
  const { bytes: contents } = await readKeyFile(file, keyFileChecks(values)).catch((error: unknown): never => {
    throw error instanceof BenUdpError ? explainKeyFile(error, resolve(file)) : error;
  });
  if (contents.length > MAX_LITERAL_BYTES) {
    throw new CliFailure(`"${file}" holds ${contents.length} bytes: that is no key for a literal`, {
      hint: `A key file holds ${KEY_BYTES} bytes. Is it the right file?`,
    });
  }
  return contents;
}

function nameOf(contents: Uint8Array): string {
  const key = deriveKey(contents);
  const name = fingerprint(key);
  key.fill(0);
  return name;
}

interface Outcome {
  readonly file: string;
  readonly name: string;
  readonly isNew: boolean;
  readonly literals: readonly (string | undefined)[];
}

/** Where standard output is the secret, as for a source file, all else goes to standard error. */
function tell({ file, name, isNew, literals }: Outcome, io: CliIo): void {
  const printed = literals.filter((literal) => literal !== undefined);
  const say = printed.length > 0 ? io.err : io.out;
  say(`${isNew ? 'Made' : 'Read'} ${file}: key ${name}.`);
  if (isNew) {
    say(`
The server:  new BenUdpTransport({ keyFile: '${file}' })
A board:     mpremote cp "${file}" :key.sec
Try it:      nestjs-ben-udp listen --key-file "${file}"

It is a secret: whoever has it can speak for your devices. Keep it out of version control.`);
  }
  printed.forEach((literal) => io.out(literal));
  if (printed.length > 0) {
    say('What was printed is the secret itself.');
  }
}

/** What a key file holds, not the AES key: devices hash it, as they hash the file. */
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

/** As `printCLiteral`; every byte in hex, so that no editor and no encoding changes one. */
export function printPythonLiteral(contents: Uint8Array): string {
  const bytes = Array.from(contents, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  return [
    '# Contents of the key file: on the board, open("key.sec", "wb").write(BEN_KEY_FILE). Secret.',
    `BEN_KEY_FILE = b'${bytes}'`,
  ].join('\n');
}
