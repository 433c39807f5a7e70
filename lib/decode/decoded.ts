/** What `decode` finds in a recording. */
import type { BenUdpProtocol } from '../exchange/index.js';
import type { DecodeFault } from './opening.js';
import type { Step } from './steps.js';
import type { V2Step } from './steps-v2.js';

/** One datagram of an exchange. */
export interface DecodedStep {
  /** With protocol v2 a `V2Step`. */
  readonly step: Step | V2Step;
  readonly sender: 'device' | 'server';
  /** Its length. */
  readonly bytes: number;
  /** Its line or packet in the recording. */
  readonly place: string;
  /** Milliseconds since the epoch, if the recording has times. */
  readonly at: number | undefined;
  /** For an `extra` datagram: the reason why it belongs to no step. For one of protocol v2: the content outside its text. */
  readonly remark: string | undefined;
}

export interface DecodedExchange {
  readonly protocol: BenUdpProtocol;
  /** `device > server`; empty for hex text. */
  readonly conversation: string;
  /** Milliseconds since the epoch, if the recording has times. */
  readonly at: number | undefined;
  readonly steps: readonly DecodedStep[];
  /** The fingerprint of the key that opens the exchange, if any does. */
  readonly key: string | undefined;
  /** Hex. Protocol v2 has none. */
  readonly id: string | undefined;
  /** The session id in hex, if the session was opened. Protocol v1 has none. */
  readonly session: string | undefined;
  /** The Python text that the device sent. */
  readonly request: string | undefined;
  /** Whether the device expected no reply; `undefined` if the request did not open. */
  readonly noreturn: boolean | undefined;
  /** The JSON text of the reply. */
  readonly reply: string | undefined;
  /** Empty for an exchange without problems. */
  readonly faults: readonly DecodeFault[];
}
