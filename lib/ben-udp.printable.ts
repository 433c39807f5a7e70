/**
 * Text that a peer may have chosen, made safe for a terminal and a log (a leaf: imports nothing).
 */

/** Would move the cursor, change colours, or turn the direction of the text that follows. */
const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu;

/** The text with control characters as escapes; line ends and tabs stay. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (unit) =>
    unit === '\n' || unit === '\t' ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** As `printable`, at most `maxLength` characters of it. */
export function excerptOf(text: string, maxLength: number): string {
  const cut = printable(text.slice(0, maxLength));
  return text.length > maxLength ? `${cut}… (${text.length} characters)` : cut;
}
