/** Explains recorded datagrams, from bytes to values. Knows no files and no sockets. */
export * from './decode.js';
export { DECODE_FAULTS, type DecodeFault, type DecodeFaultName } from './opening.js';
export { MAX_CAPTURE_BYTES, MAX_TEXT_BYTES, type RecordedDatagram, type Recording } from './recording.js';
export { STEPS, type Step } from './steps.js';
