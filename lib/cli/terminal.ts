/**
 * Writes lines to the two streams: with colours if a stream is a terminal that shows them, and with one line of progress that the
 * next line replaces.
 */
import { styleText } from 'node:util';
import type { LineStyle } from './io.js';

/** A stream of the process. Only a terminal has `hasColors`. */
export interface TextStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
  /** False also for NO_COLOR and TERM=dumb. */
  hasColors?(): boolean;
}

const CLEAR_LINE = '\r\u001b[K';

export class Terminal {
  private hasProgress = false;

  constructor(
    private readonly stdout: TextStream,
    private readonly stderr: TextStream,
  ) {}

  out(line: string, style?: LineStyle): void {
    this.end();
    this.stdout.write(`${paint(line, style, this.stdout)}\n`);
  }

  err(line: string, style?: LineStyle): void {
    this.end();
    this.stderr.write(`${paint(line, style, this.stderr)}\n`);
  }

  progress(line: string): void {
    if (this.stderr.isTTY) {
      this.stderr.write(`${CLEAR_LINE}${line}`);
      this.hasProgress = true;
    } else {
      this.stderr.write(`${line}\n`);
    }
  }

  /** Removes the line of progress. */
  end(): void {
    if (this.hasProgress) {
      this.hasProgress = false;
      this.stderr.write(CLEAR_LINE);
    }
  }
}

function paint(line: string, style: LineStyle | undefined, stream: TextStream): string {
  if (!style || !stream.isTTY || !stream.hasColors?.()) {
    return line;
  }
  const { format, length = line.length } = style;
  // `hasColors` has checked this stream. styleText would check only standard output.
  return styleText(format, line.slice(0, length), { validateStream: false }) + line.slice(length);
}
