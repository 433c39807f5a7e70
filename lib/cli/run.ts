/**
 * The command line as a function: finds the command and runs it.
 */
import { type Command, reportError, withPrintableLines } from './command.js';
import { decode } from './decode.js';
import { doctor } from './doctor.js';
import { EXIT_CODES, type ExitCode } from './exit-code.js';
import { fleet } from './fleet.js';
import type { CliIo } from './io.js';
import { keygen } from './keygen.js';
import { listen } from './listen.js';
import { nearest } from './nearest.js';
import { provision } from './provision.js';
import { send } from './send.js';
import { PROGRAM } from './text.js';
import { VERSION } from './version.js';

const COMMANDS: ReadonlyMap<string, Command> = new Map(
  Object.entries({ keygen, provision, send, listen, fleet, decode, doctor }),
);

const HELP = `${PROGRAM} COMMAND [options]

Tools for BenCommunication: MicroPython boards that send encrypted UDP requests, and the servers that answer them.

  keygen FILE                       make a key file
  provision NAME                    put a key, the client and a program on a connected board
  send HOST[:PORT] ACTION [JSON]    send a request and print the answer
  listen                            a server that prints requests and echoes them
  fleet N [HOST[:PORT]]             many virtual boards that send requests
  decode FILE                       explain recorded datagrams: hex or a capture file
  doctor                            check why boards do not reach this machine

Examples:
  ${PROGRAM} keygen key.sec
  ${PROGRAM} listen
  ${PROGRAM} send 127.0.0.1 echo '"hello"'

"help COMMAND" explains a command, --version prints the version. Every command has --json. The key is in a file:
--key-file FILE, else BEN_KEY_FILE, else key.sec.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no answer, 4 the server answered with an error, 70 a bug here, 130 Ctrl+C.`;

/** Runs a command line. Rejects only if there is a bug here. */
export async function run(args: readonly string[], given: CliIo): Promise<ExitCode> {
  const io = withPrintableLines(given);
  const [name = '', ...rest] = args;
  switch (name) {
    case '-h':
    case '--help':
    case 'help': {
      const [topic] = rest;
      if (topic !== undefined && !topic.startsWith('-')) {
        return runNamed(topic, ['--help'], given, io);
      }
      io.out(HELP);
      return EXIT_CODES.ok;
    }
    case '-V':
    case '--version':
      io.out(VERSION);
      return EXIT_CODES.ok;
    case '':
      io.err(HELP);
      return EXIT_CODES.usage;
    default:
      return runNamed(name, rest, given, io);
  }
}

async function runNamed(name: string, args: readonly string[], given: CliIo, io: CliIo): Promise<ExitCode> {
  const command = COMMANDS.get(name);
  if (command) {
    return command(args, given);
  }
  const names = [...COMMANDS.keys()];
  const similar = nearest(name, names);
  const suggestion = similar === undefined ? '' : `; did you mean ${similar}?`;
  reportError('nestjs-ben-udp:', `there is no command "${name.slice(0, 40)}"${suggestion}`, io);
  io.err(`Commands: ${names.join(', ')}. See: ${PROGRAM} --help`);
  return EXIT_CODES.usage;
}
