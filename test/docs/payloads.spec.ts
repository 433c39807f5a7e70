/**
 * docs/payloads.md is made from a run: each value of Python text goes through the tools that a Nest backend uses.
 *
 *     npx vitest run --config test/vitest.config.ts test/docs/payloads.spec.ts -u
 */
import 'reflect-metadata';
import { join } from 'node:path';
import { inspect } from 'node:util';
import {
  BadRequestException,
  type CallHandler,
  ClassSerializerInterceptor,
  type ExecutionContext,
  type Type as Class,
  ValidationPipe,
  type ValidationPipeOptions,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { Type } from 'class-transformer';
import { Allow, IsNumber, IsOptional, ValidateNested } from 'class-validator';
import { format, resolveConfig } from 'prettier';
import { lastValueFrom, of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { parsePythonText } from '../../lib/protocol/index.js';
import { root } from './pages.js';

/** A package of its own without types; whichever tool needs it has brought it. */
const { default: merge } = (await import('lodash/merge.js' as string)) as {
  default: (target: object, source: object) => object;
};

const PAGE = join(root, 'docs/payloads.md');

/** One of each row of docs/python-text.md that has a result of its own. */
const VALUES = [
  'None',
  'True',
  '21',
  '9007199254740993',
  '21.5',
  'nan',
  'inf',
  "'text'",
  "b'ab'",
  "bytearray(b'ab')",
  "[1, 'two']",
  '(1, 2)',
  "{'a': 1}",
  '{4: 21.5}',
  "{'__proto__': {'a': 1}}",
  '{1, 2}',
  "{b'k': {'celsius': 1}}",
  "{(1, 2): 'three'}",
];

class Holder {
  @Allow()
  value!: unknown;
}

class Required {
  @IsNumber()
  celsius!: number;
}

class Optional {
  @IsOptional()
  @IsNumber()
  celsius?: number;
}

class Nested {
  @ValidateNested()
  @Type(() => Required)
  value!: Required;
}

class NestedOptional {
  @ValidateNested()
  @Type(() => Optional)
  value!: Optional;
}

const PIPES: Record<string, ValidationPipeOptions> = {
  'no option': {},
  transform: { transform: true },
  whitelist: { whitelist: true },
  forbidNonWhitelisted: { whitelist: true, forbidNonWhitelisted: true },
  'transform, implicit conversion': { transform: true, transformOptions: { enableImplicitConversion: true } },
};

const VALIDATION_ERROR = 'validation error';

const show = (value: unknown) => inspect(value, { depth: 6, breakLength: Infinity });
const code = (text: string) => `\`${text.replaceAll('|', '\\|')}\``;

/** What a tool makes of a value: the same, another, or an error. */
async function result(
  text: string,
  use: (value: unknown) => unknown,
  unwrap = (value: unknown) => value,
): Promise<string> {
  const before = show(unwrap(parsePythonText(text)));
  try {
    const after = show(unwrap(await use(parsePythonText(text))));
    return after === before ? 'same' : code(after);
  } catch (error) {
    return error instanceof BadRequestException ? VALIDATION_ERROR : code((error as Error).name);
  }
}

function validate(options: ValidationPipeOptions, metatype: Class) {
  return (value: unknown) => new ValidationPipe(options).transform(value, { type: 'body', metatype });
}

const inHolder = (text: string) => `{'value': ${text}}`;
const ofHolder = (value: unknown) => (value as Holder).value;

async function pipeRows(metatype: Class, isNested: boolean): Promise<string[][]> {
  const rows = VALUES.map(async (text) => {
    const cells = Object.values(PIPES).map((options) =>
      isNested
        ? result(inHolder(text), validate(options, metatype), ofHolder)
        : result(text, validate(options, metatype)),
    );
    return [code(text), ...(await Promise.all(cells))];
  });
  return Promise.all(rows);
}

const TOOLS: Record<string, (value: unknown) => unknown> = {
  'ClassSerializerInterceptor (of a result)': async (value) => {
    const context = { getHandler: () => Holder, getClass: () => Holder } as unknown as ExecutionContext;
    const next: CallHandler = { handle: () => of(value) };
    return lastValueFrom(await new ClassSerializerInterceptor(new Reflector()).intercept(context, next));
  },
  structuredClone: (value) => structuredClone(value),
  'lodash merge': (value) => (merge({}, { value }) as Holder).value,
  'JSON.stringify': (value) => JSON.stringify(value),
  'template string': (value) => `${value as string}`,
};

async function toolRows(wrap: (text: string) => string, unwrap: (value: unknown) => unknown): Promise<string[][]> {
  const isTextual = (name: string) => name === 'JSON.stringify' || name === 'template string';
  const rows = VALUES.map(async (text) => {
    const cells = Object.entries(TOOLS).map(([name, use]) =>
      isTextual(name) ? result(wrap(text), use) : result(wrap(text), use, unwrap),
    );
    return [code(text), ...(await Promise.all(cells))];
  });
  return Promise.all(rows);
}

const table = (head: readonly string[], rows: readonly string[][]) =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const pipeTable = async (metatype: Class, isNested: boolean) =>
  table(['Python', ...Object.keys(PIPES)], await pipeRows(metatype, isNested));

async function makePage(): Promise<string> {
  const tools = ['Python', ...Object.keys(TOOLS)];
  return `# Payloads

<!-- Made from a run by test/docs/payloads.spec.ts; a change by hand is lost. -->

[Python text](python-text.md) says what a handler gets for each Python value. This page says what the tools of a Nest backend make of
these values. Each cell is from a run: "same" if the value comes out as it went in, else the result or the error.

## What to know

- **A dict is an ordinary object**, so pipes, loggers and libraries take it as they take a parsed JSON text. \`ValidationPipe\` and lodash
  remove a key \`__proto__\`.
- **A \`Map\` stands for a dict with a key that is a tuple or bytes.** No class fits it: in a property with \`@ValidateNested()\` it is a
  validation error. class-transformer does not read the values of a Map, so with \`transform\` or \`whitelist\` a text that says so stands in
  place of each. Take such a payload with a pipe of your own, or without one.
- **\`JSON.stringify\` loses a \`Set\` and a \`Map\`** (\`{}\`), writes \`nan\` and \`inf\` as \`null\`, and throws on an int beyond 2^53. A
  handler's result does not go through it: [replies](../README.md#when-something-goes-wrong) carry all of these.
- **class-transformer makes an array of a \`Set\`**, and copies a \`Buffer\` into memory that Node shares between small Buffers. After
  \`transform: true\`, do not return or post \`payload.buffer\`: it holds other data too. The bytes themselves are the same.
- **An int beyond 2^53 for a class** fails inside \`ValidationPipe\`, which takes a \`bigint\` for an object: the board gets "Internal server
  error". As a property of the payload it is validated like any value.
- **A class whose properties are all optional** accepts any object. Without \`transform\`, the handler then gets the value as it came, a \`Map\`
  or a \`Set\` too. With \`transform: true\` it gets an instance of the class.

## ValidationPipe: a value in a property

Of a class with \`@Allow() value: unknown\`.

${await pipeTable(Holder, true)}

## ValidationPipe: a value for a class

As the whole payload, for a class whose property is required.

${await pipeTable(Required, false)}

The same for a class whose property is optional.

${await pipeTable(Optional, false)}

## ValidationPipe: a value for a nested class

In a property with \`@ValidateNested()\` and \`@Type()\`, for a class whose property is required.

${await pipeTable(Nested, true)}

The same for a class whose property is optional.

${await pipeTable(NestedOptional, true)}

## Other tools

A value alone.

${table(
  tools,
  await toolRows(
    (text) => text,
    (value) => value,
  ),
)}

The same in a dict: \`{'value': …}\`.

${table(tools, await toolRows(inHolder, ofHolder))}
`;
}

describe('docs/payloads.md', () => {
  it('is what the tools make of each value', async () => {
    const page = await format(await makePage(), { ...(await resolveConfig(PAGE)), filepath: PAGE });
    await expect(page).toMatchFileSnapshot(PAGE);
  });
});

describe('a Map for a class', () => {
  it.each(Object.entries(PIPES))('never reaches a handler in place of a nested class: %s', async (_name, options) => {
    for (const text of [
      "{b'k': {'celsius': 1}}",
      "{b'get': 1}",
      "{b'__proto__': 1}",
      "{b'constructor': 1}",
      '{(): {}, 1: 2}',
    ]) {
      for (const metatype of [Nested, NestedOptional]) {
        expect(await result(inHolder(text), validate(options, metatype))).toBe(VALIDATION_ERROR);
      }
    }
  });

  it.each(Object.entries(PIPES))(
    'is a validation error if the class requires a property: %s',
    async (_name, options) => {
      expect(await result("{b'k': {'celsius': 1}}", validate(options, Required))).toBe(VALIDATION_ERROR);
    },
  );

  it.each(Object.entries(PIPES).filter(([, { transform }]) => transform))(
    'becomes an instance of a class whose properties are optional: %s',
    async (_name, options) => {
      expect(await validate(options, Optional)(parsePythonText("{b'k': 1}"))).toBeInstanceOf(Optional);
    },
  );
});
