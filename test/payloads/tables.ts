/** The tables of docs/payloads.md, from a run of each tool with each value. */
import type { Type } from '@nestjs/common';
import { parsePythonText } from '../../lib/protocol/index.js';
import { POOLED, SAME, describeChange, describeInPlaceOfDto, describeText, outcomeOf } from './outcomes.js';
import {
  DECLARATIONS,
  type Declaration,
  NESTED_DECLARATIONS,
  PIPES,
  TOOLS,
  type Tool,
  defineDto,
  validate,
} from './tools.js';
import { KINDS, type Kind } from './values.js';

export interface Table {
  readonly columns: readonly string[];
  readonly rows: ReadonlyArray<readonly string[]>;
}

const INT: Declaration = { code: '@IsInt()', type: Number, decorators: DECLARATIONS['int, float']![0]!.one.decorators };

export const RequiredDto = defineDto('RequiredDto', { humidity: INT });
export const OptionalDto = defineDto('OptionalDto', { humidity: DECLARATIONS['None']![0]!.one });

/** Each value as the property of a DTO that is declared for it. */
export async function tableOfProperties(): Promise<Table> {
  return tableOfDeclarations('declared as', ({ one }, text) => {
    const dto = defineDto('Reading', { value: one });
    const pick = (result: unknown) => (result as { readonly value: unknown }).value;
    return throughPipes(
      dto,
      () => ({ value: parsePythonText(text) }),
      (result) => describeChange(parsePythonText(text), pick(result)),
    );
  });
}

/** The same in a list. */
export async function tableOfItems(): Promise<Table> {
  return tableOfDeclarations('declared as', ({ many }, text) => {
    const dto = defineDto('Readings', { values: many });
    const pick = (result: unknown) => (result as { readonly values: readonly unknown[] }).values[0];
    return throughPipes(
      dto,
      () => ({ values: [parsePythonText(text)] }),
      (result) => describeChange(parsePythonText(text), pick(result)),
    );
  });
}

/** Each value as the whole payload of a handler whose parameter is a DTO. */
export async function tableOfPayloads(dto: Type<object>): Promise<Table> {
  const rows: string[][] = [];
  for (const kind of KINDS) {
    const cellsOf = (text: string) =>
      throughPipes(
        dto,
        () => parsePythonText(text),
        (result) => describeInPlaceOfDto(dto, parsePythonText(text), result),
      );
    rows.push(...(await rowsOf(kind, [], cellsOf)));
  }
  return { columns: ['payload', ...Object.keys(PIPES)], rows };
}

/** Values that a board may send for a nested DTO. The first has a value that fits the DTO, the third the name of a method as a key. */
const OTHER_THAN_DTO = [
  ["{b'k': {'humidity': 50}}", '{(1, 2): 3}', "{b'get': 1}"],
  ['{(1, 2): 3, None: 4}'],
  ['[]', "[{'humidity': 50}]"],
  ['{()}'],
];

/** Other values for a nested DTO, with required properties and with optional ones. */
export async function tableOfNestedDtos(): Promise<Table> {
  const rows: string[][] = [];
  for (const { code: declared, decorate } of NESTED_DECLARATIONS) {
    for (const texts of OTHER_THAN_DTO) {
      const cells = await Promise.all(
        [RequiredDto, OptionalDto].flatMap((inner) => {
          const dto = defineDto('Outer', { inner: { code: declared, type: inner, decorators: decorate(inner) } });
          return texts.map((text) =>
            throughPipes(
              dto,
              () => ({ inner: parsePythonText(text) }),
              (result) =>
                describeInPlaceOfDto(inner, parsePythonText(text), (result as { readonly inner: unknown }).inner),
            ),
          );
        }),
      );
      const outcomes = cells[0]!.map((_, column) => [...new Set(cells.map((each) => each[column]!))].join(' or '));
      rows.push([`\`${declared}\``, texts.map((text) => `\`${text}\``).join(' '), ...outcomes]);
    }
  }
  return { columns: ['declared as', 'sent', ...Object.keys(PIPES)], rows };
}

/** Each value as a handler's result, and in tools that apps use on payloads. */
export async function tableOfTools(): Promise<Table> {
  const rows: string[][] = [];
  for (const kind of KINDS) {
    rows.push(...(await rowsOf(kind, [], (text) => Promise.all(TOOLS.map((tool) => throughTool(tool, text))))));
  }
  return { columns: ['value', ...TOOLS.map(({ name }) => name)], rows };
}

/** Alone, in a dict and in a list; one outcome if it is the same in all. */
async function throughTool({ run, makesText }: Tool, text: string): Promise<string> {
  const read = () => parsePythonText(text);
  const describe = (result: unknown) => describeChange(read(), result);
  const ofNested = (pick: (result: unknown) => unknown) => (result: unknown) => describe(pick(result));
  const [alone, ...nested] = await Promise.all([
    outcomeOf(() => run(read()), makesText ? (result) => describeText(read(), result) : describe),
    outcomeOf(
      () => run({ value: read() }),
      ofNested((result) => (makesText ? read() : (result as { value: unknown }).value)),
    ),
    outcomeOf(
      () => run([read()]),
      ofNested((result) => (makesText ? read() : (result as unknown[])[0])),
    ),
  ]);
  return makesText && nested.every((outcome) => outcome === SAME)
    ? alone!
    : [...new Set([alone, ...nested])].join('; nested: ');
}

async function tableOfDeclarations(
  head: string,
  cellsOf: (declarations: { readonly one: Declaration; readonly many: Declaration }, text: string) => Promise<string[]>,
): Promise<Table> {
  const rows: string[][] = [];
  for (const kind of KINDS) {
    for (const declarations of DECLARATIONS[kind.name]!) {
      rows.push(...(await rowsOf(kind, [`\`${declarations.one.code}\``], (text) => cellsOf(declarations, text))));
    }
  }
  return { columns: ['value', head, ...Object.keys(PIPES)], rows };
}

/** One outcome for each set of options. */
function throughPipes(
  dto: Type<object>,
  payload: () => unknown,
  describe: (result: unknown) => string,
): Promise<string[]> {
  return Promise.all(
    Object.values(PIPES).map((options) => outcomeOf(() => validate(options, dto, payload()), describe)),
  );
}

/** A row for the kind, and one for each of its texts that a tool treats in another way. */
async function rowsOf(
  { name, texts }: Kind,
  head: readonly string[],
  cellsOf: (text: string) => Promise<string[]>,
): Promise<string[][]> {
  const groups = new Map<string, { readonly cells: string[]; readonly texts: string[] }>();
  for (const text of texts) {
    const cells = await cellsOf(text);
    // No bytes lie nowhere, so they differ from others in this alone.
    const key = cells.join('|').replaceAll(POOLED, '');
    const group = groups.get(key) ?? { cells, texts: [] };
    group.texts.push(text);
    groups.set(key, group);
  }
  const [most, ...others] = [...groups.values()].toSorted((a, b) => b.texts.length - a.texts.length);
  return [
    [name, ...head, ...most!.cells],
    ...others.map(({ cells, texts: [example] }) => [`${name}: \`${example}\``, ...head, ...cells]),
  ];
}
