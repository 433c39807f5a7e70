/** Collects garbage in a process that was started without `--expose-gc`. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** @type {(() => void) | undefined} */
let collect;

export function collectGarbage() {
  collect ??= exposeCollection();
  collect();
}

/** @returns {() => void} */
function exposeCollection() {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc');
}
