/**
 * A position in a Python text, shared by the readers of one text.
 */
import { BenUdpProtocolError, type BenUdpTextErrorCode } from '../../errors.js';
import type { PythonTextLimits } from './value.js';

export class Cursor {
  position = 0;
  nodes = 0;
  /** Whether the number that was read last was written as a float: a dict key `1.0` is not the key `1`. */
  isFloat = false;

  constructor(
    readonly text: string,
    readonly limits: PythonTextLimits,
  ) {}

  /** The UTF-16 unit under the cursor; `NaN` at the end, which equals no character. */
  get unit(): number {
    return this.text.charCodeAt(this.position);
  }

  get isAtEnd(): boolean {
    return this.position >= this.text.length;
  }

  /** Steps over `unit` if it is next. */
  take(unit: number): boolean {
    if (this.unit !== unit) {
      return false;
    }
    this.position++;
    return true;
  }

  /** Steps over white space between tokens; `repr` prints single spaces, `literal_eval` reads all of these. */
  skipWhiteSpace(): void {
    let unit = this.unit;
    while (unit === 0x20 || (unit >= 0x09 && unit <= 0x0d && unit !== 0x0b)) {
      this.position++;
      unit = this.unit;
    }
  }

  /** Refuses the text at the cursor: at the end as too short, otherwise for an unexpected character. */
  failHere(): never {
    return this.isAtEnd
      ? this.fail('BEN_TEXT_UNEXPECTED_END', 'the text ends inside a literal')
      : this.fail('BEN_TEXT_UNEXPECTED_CHARACTER', 'unexpected character');
  }

  fail(code: BenUdpTextErrorCode, message: string, position = this.position): never {
    throw new BenUdpProtocolError(code, `${message} at position ${position}`, position);
  }
}
