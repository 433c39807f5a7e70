/**
 * Recorded datagrams, whatever recorded them, and how much of a recording is read.
 */
import { BenUdpError } from '../errors.js';

export type Sender = 'device' | 'server';

export interface RecordedDatagram {
  readonly bytes: Buffer;
  /** `undefined` where the recording does not say; the steps are then told apart by their looks. */
  readonly sender: Sender | undefined;
  /** Who talks with whom; datagrams of one conversation are in their order. */
  readonly conversation: string;
  /** Where it stands: `line 3`, `packet 12`. */
  readonly place: string;
  /** Milliseconds since the epoch; `undefined` where the recording does not say. */
  readonly at: number | undefined;
  /** Whether the recording holds less of it than was sent. */
  readonly isCut: boolean;
}

export interface Recording {
  readonly kind: 'hex' | 'pcap' | 'pcapng';
  readonly datagrams: readonly RecordedDatagram[];
  /** Packets that were left out, by the reason. */
  readonly skipped: Readonly<Record<string, number>>;
}

/** Bytes of a capture that are read. */
export const MAX_CAPTURE_BYTES = 67_108_864;

/** Largest hex text in bytes. Its values take many times as much memory. */
export const MAX_TEXT_BYTES = 16_777_216;

/** Datagrams that are looked at. */
export const MAX_DATAGRAMS = 200_000;

/** The recording can't be read; the message says what is wrong with it and what would be right. */
export function refuseRecording(message: string): never {
  throw new BenUdpError('BEN_BAD_RECORDING', message);
}

export function checkRoom(datagrams: readonly unknown[]): void {
  if (datagrams.length >= MAX_DATAGRAMS) {
    refuseRecording(`the recording holds more than ${MAX_DATAGRAMS} datagrams: cut it into parts`);
  }
}
