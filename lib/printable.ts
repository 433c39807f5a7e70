/**
 * Makes text that a peer may have chosen safe for a terminal and a log.
 */

/**
 * Characters that act on a terminal or hide in a text. Control characters (Cc) and separators (Zl, Zp) move the cursor and change
 * colours. Format characters (Cf) turn the direction of the text. Default-ignorable characters have no width: tags, fillers,
 * variation selectors. Half a surrogate pair (Cs) is not a character.
 *
 * Some emoji contain such characters and are shown in parts. No text is lost, because each character is shown as its escape.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** The text with every unprintable character as an escape, as JSON writes it. */
export function escapeUnprintable(text: string): string {
  return text.replace(UNPRINTABLE, escape);
}

/** The same, except for line ends and tabs, which stay. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) =>
    character === '\n' || character === '\t' ? character : escape(character),
  );
}

/** The same on one line, because a text with line ends could imitate lines of the program that prints it. */
export function printableLine(text: string): string {
  return printable(text).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}

/** Characters of a device's name in a line. */
const MAX_NAME = 64;

/** The name of a device on one line, cut. It comes from a file name or a database, so a user of the app may have chosen it. */
export function printableName(name: string): string {
  return printableLine(excerptOf(name, MAX_NAME));
}

function escape(character: string): string {
  return Array.from({ length: character.length }, (_, index) => toEscape(character.charCodeAt(index))).join('');
}

/** A UTF-16 unit as JSON escapes it. */
export function toEscape(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}

/** As `printable`, at most `maxLength` characters of it. */
export function excerptOf(text: string, maxLength: number): string {
  if (text.length <= maxLength) {
    return printable(text);
  }
  // The first half of a pair would be shown as an escape that the text does not contain.
  const isPair = text.codePointAt(maxLength - 1)! > 0xffff;
  return `${printable(text.slice(0, isPair ? maxLength - 1 : maxLength))}… (${text.length} characters)`;
}
