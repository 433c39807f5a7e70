/** Explains recorded datagrams, from bytes to values. Knows no files and no sockets. */
export * from './decode.js';
export * from './decoded.js';
export { DECODE_FAULTS, type DecodeFault, type DecodeFaultName } from './opening.js';
export { MAX_CAPTURE_BYTES, MAX_TEXT_BYTES, type RecordedDatagram, type Recording } from './recording.js';
export { STEPS, type Step } from './steps.js';
export { V2_STEPS, type V2Step } from './steps-v2.js';
