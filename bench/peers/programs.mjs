/**
 * Programs that are no part of Node.
 */
import { execFileSync } from 'node:child_process';

/** Debian puts servers into sbin, which the PATH of a user often lacks. */
export const withSbin = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

/**
 * @param {string[]} command
 * @param {string} [input]
 * @returns {string} its output
 * @throws Error if it can't be started, or ends with another code than 0
 */
export function run([program, ...args], input) {
  return execFileSync(program, args, { input, stdio: 'pipe', env: withSbin }).toString();
}

/** @param {readonly string[]} programs */
export function findMissing(programs) {
  return programs.filter((program) => !isInstalled(program));
}

/** @param {string} program */
function isInstalled(program) {
  try {
    run(['sh', '-c', 'command -v "$0"', program]);
    return true;
  } catch {
    return false;
  }
}
