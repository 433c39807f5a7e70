/**
 * The command line as a function: which command, and what there is.
 */
import { type Command, withPrintableLines } from './command.js';
import { decode } from './decode.js';
import { doctor } from './doctor.js';
import { EXIT_CODES, type ExitCode } from './exit-code.js';
import type { CliIo } from './io.js';
import { keygen } from './keygen.js';
import { listen } from './listen.js';
import { send } from './send.js';
import { VERSION } from './version.js';

const COMMANDS: ReadonlyMap<string, Command> = new Map(Object.entries({ keygen, send, listen, decode, doctor }));

const HELP = `nestjs-ben-udp COMMAND [options]

Tools for BenCommunication: MicroPython boards that send encrypted UDP requests, and the servers that answer them.

  keygen FILE                       make a key file
  send HOST[:PORT] ACTION [JSON]    send a request and print the answer
  listen                            a server that prints what devices send, and echoes it
  decode FILE                       explain recorded datagrams: hex or a capture file
  doctor                            look for what keeps boards from reaching this machine

Each has --help and --json. The key is in a file: --key-file FILE, else BEN_KEY_FILE, else key.sec.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no answer, 4 the server answered with an error, 70 a bug here, 130 Ctrl+C.`;

/** Runs a command line. Rejects only where there is a bug here. */
export async function run(args: readonly string[], given: CliIo): Promise<ExitCode> {
  const io = withPrintableLines(given);
  const [name = '', ...rest] = args;
  switch (name) {
    case '-h':
    case '--help':
    case 'help':
      io.out(HELP);
      return EXIT_CODES.ok;
    case '--version':
      io.out(VERSION);
      return EXIT_CODES.ok;
  }
  const command = COMMANDS.get(name);
  if (command) {
    return command(rest, given);
  }
  io.err(name === '' ? HELP : `nestjs-ben-udp: there is no command "${name.slice(0, 40)}"`);
  if (name !== '') {
    io.err(`There are ${[...COMMANDS.keys()].join(', ')}. See: nestjs-ben-udp --help`);
  }
  return EXIT_CODES.usage;
}
