/**
 * Text that a peer may have chosen, made safe for a terminal and a log (a leaf: imports nothing).
 */

/**
 * Control characters would move the cursor or change colours; format characters turn the direction of the text that follows, or
 * hide text (zero width, tags); separators of lines and paragraphs begin a new line for some programs; half a surrogate pair is
 * no character.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** The text with every unprintable character as an escape, as JSON writes it. */
export function escapeUnprintable(text: string): string {
  return text.replace(UNPRINTABLE, escape);
}

/** The same, but for line ends and tabs, which stay. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) =>
    character === '\n' || character === '\t' ? character : escape(character),
  );
}

function escape(character: string): string {
  return Array.from({ length: character.length }, (_, index) => toEscape(character.charCodeAt(index))).join('');
}

function toEscape(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}

/** As `printable`, at most `maxLength` characters of it. */
export function excerptOf(text: string, maxLength: number): string {
  const cut = printable(text.slice(0, maxLength));
  return text.length > maxLength ? `${cut}… (${text.length} characters)` : cut;
}
