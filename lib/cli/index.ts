/** The commands as functions: each takes its arguments and an `io`, and resolves to the exit code. Needs no Nest. */
export type { Command } from './command.js';
export { decode } from './decode.js';
export { doctor } from './doctor.js';
export { EXIT_CODES, type ExitCode } from './exit-code.js';
export { fleet } from './fleet.js';
export type { CliIo, LineStyle } from './io.js';
export { keygen } from './keygen.js';
export { listen } from './listen.js';
export { provision } from './provision.js';
export { run } from './run.js';
export { send } from './send.js';
export {
  DECODE_FAULTS,
  type DecodeFault,
  type DecodeFaultName,
  type DecodedExchange,
  type DecodedStep,
  type RecordedDatagram,
  type Recording,
  STEPS,
  type Step,
  decodeExchanges,
  readRecording,
} from '../decode/index.js';
