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

/**
 * @typedef {object} Attack
 * @property {number} port
 * @property {number} rate datagrams a second
 * @property {number} seconds
 * @property {'hello' | 'junk' | 'noise'} kind
 * @property {number} [sources] addresses they come from. Default 1
 * @property {number} seed
 *
 * @typedef {object} Hosed until three seconds after the flood
 * @property {number} sent
 * @property {number} refused
 * @property {number} seconds
 * @property {number} returned datagrams that came back
 * @property {number} returnedBytes
 * @property {number} mostForOneSource
 * @property {number} late those that came back more than a second after the last was sent
 */

/** @param {string} name */
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
 * @param {Attack} attack
 * @returns {Promise<Hosed>}
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
