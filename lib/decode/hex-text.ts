/**
 * Datagrams as hex, one on a line, as in a log: `> 2f4745544944`, `< 16 89 45…`.
 */
import { MAX_DATAGRAM_BYTES } from '../protocol/index.js';
import { type RecordedDatagram, type RecordedSender, type Recording, checkRoom, refuseRecording } from './recording.js';

const COMMENT = '#';

/** The sender by the mark before the datagram. */
const MARKS: ReadonlyMap<string, RecordedSender> = new Map([
  ['>', 'device'],
  ['<', 'server'],
]);

/** The longest form of a byte has four characters: `0x2f` or `2f: `. */
const MAX_LINE_LENGTH = 4 * MAX_DATAGRAM_BYTES;

/** Largest number of lines, empty ones included. */
const MAX_LINES = 1_000_000;

/**
 * Reads one datagram a line. The mark `>` means sent by the device, `<` by the server. Spaces, colons, commas and `0x` are ignored. `#`
 * begins a comment.
 *
 * @throws BenUdpError `BEN_BAD_RECORDING`.
 */
export function parseHexText(text: string): Recording {
  const datagrams: RecordedDatagram[] = [];
  let number = 0;
  // Not split(): a hostile file has only line ends.
  for (let start = 0; start < text.length;) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    if (++number > MAX_LINES) {
      refuseRecording(`the recording has more than ${MAX_LINES} lines: cut it into parts`);
    }
    const datagram = end - start > MAX_LINE_LENGTH ? refuseLine(number) : parseLine(text.slice(start, end), number);
    if (datagram) {
      checkRoom(datagrams);
      datagrams.push(datagram);
    }
    start = end + 1;
  }
  return { kind: 'hex', datagrams, skipped: {} };
}

function parseLine(line: string, number: number): RecordedDatagram | undefined {
  const [content] = line.split(COMMENT, 1) as [string];
  const trimmed = content.trim();
  if (trimmed === '') {
    return undefined;
  }
  const sender = MARKS.get(trimmed[0]!);
  const digits = trimmed.slice(sender ? 1 : 0).replace(/0x|[\s:,]/gi, '');
  if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits) || digits.length > 2 * MAX_DATAGRAM_BYTES) {
    refuseLine(number);
  }
  return {
    bytes: Buffer.from(digits, 'hex'),
    sender,
    conversation: '',
    place: `line ${number}`,
    at: undefined,
    isCut: false,
  };
}

function refuseLine(number: number): never {
  return refuseRecording(
    `line ${number} is not a datagram in hex. Write one datagram a line: > if the device sent it, < if the server did, as in ` +
      '"> 2f4745544944"',
  );
}
