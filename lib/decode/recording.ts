/**
 * Recorded datagrams in one form, and the limits of a recording.
 */
import { BenUdpError } from '../errors.js';

export type RecordedSender = 'device' | 'server';

export interface RecordedDatagram {
  readonly bytes: Buffer;
  /** `undefined` if the recording has no marks. The bytes then identify the steps. */
  readonly sender: RecordedSender | undefined;
  /** The two endpoints. Datagrams of one conversation are in order. */
  readonly conversation: string;
  /** Its place in the recording: `line 3`, `packet 12`. */
  readonly place: string;
  /** Milliseconds since the epoch, if the recording has times. */
  readonly at: number | undefined;
  /** Whether the recording holds only a part of it. */
  readonly isCut: boolean;
}

export interface Recording {
  readonly kind: 'hex' | 'pcap' | 'pcapng';
  readonly datagrams: readonly RecordedDatagram[];
  /** Skipped packets by reason. */
  readonly skipped: Readonly<Record<string, number>>;
}

/** Largest capture in bytes. */
export const MAX_CAPTURE_BYTES = 67_108_864;

/** Largest hex text in bytes. Its values take many times as much memory. */
export const MAX_TEXT_BYTES = 16_777_216;

/** Largest number of datagrams. */
export const MAX_DATAGRAMS = 200_000;

/** Rejects a recording. The message names the fault and the expected form. */
export function refuseRecording(message: string): never {
  throw new BenUdpError('BEN_BAD_RECORDING', message);
}

export function checkRoom(datagrams: readonly unknown[]): void {
  if (datagrams.length >= MAX_DATAGRAMS) {
    refuseRecording(`the recording holds more than ${MAX_DATAGRAMS} datagrams: cut it into parts`);
  }
}
