/**
 * The machine and the versions of a run, so that figures of different runs are not taken for comparable.
 */
import { readFileSync } from 'node:fs';
import { cpus, release, type } from 'node:os';

/** @typedef {ReturnType<typeof describeMachine>} Machine */

export function describeMachine() {
  /** @type {{ version: string }} */
  const { version } = JSON.parse(
    readFileSync(new URL('../../node_modules/@nestjs/core/package.json', import.meta.url), 'utf8'),
  );
  return {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    nest: version,
    cpu: `${cpus().length} × ${cpus()[0].model}`,
    system: `${type()} ${release()}`,
  };
}
