/**
 * The attacker: the program in hose.c if there is a C compiler and Linux, else one in Node, which is slower and has
 * no more than some hundred addresses to send from.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LOAD_CORE, isPinned } from '../../bench/support/child.mjs';

const beside = (name) => fileURLToPath(new URL(name, import.meta.url));

function compile() {
  const folder = mkdtempSync(join(tmpdir(), 'ben-udp-hose-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const program = join(folder, 'hose');
  try {
    execFileSync(process.env.CC ?? 'cc', ['-O2', '-o', program, beside('hose.c')], { stdio: 'ignore' });
    return program;
  } catch {
    return undefined;
  }
}

const compiled = process.platform === 'linux' ? compile() : undefined;

/** The attacker in use; the report names it. */
export const HOSE = compiled ? 'hose.c' : 'node-hose.mjs: no C compiler or no Linux, few sources and low rates';

/**
 * @param {{ port: number, rate: number, seconds: number, kind: 'hello' | 'junk' | 'noise', sources?: number, seed: number }}
 * options `rate` in datagrams a second; `sources` addresses they come from
 * @returns {Promise<{ sent: number, refused: number, seconds: number, returned: number, returnedBytes: number,
 * mostForOneSource: number, late: number }>} `returned` and the following: datagrams that came back, `late` those more
 * than a second after the last was sent; three seconds after the flood
 */
export async function hose({ port, rate, seconds, kind, sources = 1, seed }) {
  const args = [port, rate, seconds, kind, sources, seed].map(String);
  const program = compiled ? [compiled, ...args] : [process.execPath, beside('node-hose.mjs'), ...args];
  const [command, ...rest] = isPinned ? ['taskset', '-c', String(LOAD_CORE), ...program] : program;
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.on('data', (text) => (printed += text));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) {
    throw new Error(`the hose ended with code ${code}`);
  }
  return JSON.parse(printed);
}
