/**
 * Metadata: texts in addition to the payload, such as a trace id. Third parties read them (tracing, diagnostics), so they have a shape
 * that every reader can handle: a flat, frozen record of a few short texts.
 */
import { BenUdpError } from '../errors.js';
import type { BenUdpValue } from './python-text/index.js';

export type Metadata = Readonly<Record<string, string>>;

/** Entries that are kept. */
export const MAX_METADATA_ENTRIES = 16;
/** UTF-16 units of an entry's name. */
export const MAX_METADATA_NAME_LENGTH = 256;
/** UTF-16 units of an entry's text. */
export const MAX_METADATA_TEXT_LENGTH = 1024;

/** The metadata of a received request. Entries that do not fit are dropped and counted. The request is still accepted. */
export function readMetadata(value: BenUdpValue | undefined): {
  readonly metadata: Metadata | undefined;
  readonly droppedMetadata: number;
} {
  if (value === undefined) {
    return { metadata: undefined, droppedMetadata: 0 };
  }
  const entries = entriesOf(value);
  if (!entries) {
    return { metadata: undefined, droppedMetadata: 1 };
  }
  const kept = entries.filter(([name, text]) => isEntry(name, text)).slice(0, MAX_METADATA_ENTRIES);
  const metadata = kept.length > 0 ? Object.freeze(Object.fromEntries(kept) as Record<string, string>) : undefined;
  return { metadata, droppedMetadata: entries.length - kept.length };
}

/**
 * The metadata of a request to send.
 *
 * @throws BenUdpError `BEN_UNSERIALIZABLE` for anything but a flat record of texts within the limits.
 */
export function checkMetadata(value: unknown): ReadonlyMap<string, string> {
  const entries = entriesOf(value);
  if (!entries) {
    return refuse('metadata must be an object with texts as values');
  }
  if (entries.length > MAX_METADATA_ENTRIES) {
    return refuse(`metadata has ${entries.length} entries; send at most ${MAX_METADATA_ENTRIES}`);
  }
  if (!entries.every(([name, text]) => isEntry(name, text))) {
    return refuse(
      `an entry of the metadata must be a text of at most ${MAX_METADATA_TEXT_LENGTH} characters, with a name of at most ` +
        `${MAX_METADATA_NAME_LENGTH}`,
    );
  }
  return new Map(entries as Array<[string, string]>);
}

function entriesOf(value: unknown): Array<[name: unknown, text: unknown]> | undefined {
  if (value instanceof Map) {
    return [...value];
  }
  const isRecord =
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Set) &&
    !ArrayBuffer.isView(value);
  return isRecord ? Object.entries(value).filter(([, text]) => text !== undefined) : undefined;
}

function isEntry(name: unknown, text: unknown): boolean {
  return (
    typeof name === 'string' &&
    typeof text === 'string' &&
    name.length <= MAX_METADATA_NAME_LENGTH &&
    text.length <= MAX_METADATA_TEXT_LENGTH
  );
}

function refuse(reason: string): never {
  throw new BenUdpError('BEN_UNSERIALIZABLE', reason);
}
