/**
 * Runs other programs, such as `git` and `mpremote`, without a shell, so a file name is never read as a command.
 */
import { spawn } from 'node:child_process';
import type { CliIo, ProgramResult } from './io.js';

/** Characters of output that are kept. */
const MAX_OUTPUT = 65_536;

/** @param cwd the folder to run in. Default the current one. */
export function runProgramWith(
  env: CliIo['env'],
  signal: AbortSignal,
  command: string,
  args: readonly string[],
  cwd?: string,
): Promise<ProgramResult> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, signal, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] = (output[name] + text).slice(0, MAX_OUTPUT);
      });
    }
    // An abort, too, is reported here.
    child.on('error', () => resolve({ exitCode: undefined, ...output }));
    child.on('close', (exitCode) => resolve({ exitCode: exitCode ?? 1, ...output }));
  });
}
