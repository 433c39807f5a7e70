/** docs/payloads.md, made of the tables of a run. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import {
  OptionalDto,
  RequiredDto,
  type Table,
  tableOfItems,
  tableOfNestedDtos,
  tableOfPayloads,
  tableOfProperties,
  tableOfTools,
} from './tables.js';

const require = createRequire(import.meta.url);

/** The path of the page. */
export const PAGE = join(import.meta.dirname, '../../docs/payloads.md');

export async function makePage(): Promise<string> {
  const text = `# Payloads in Nest's standard tools

<!-- Made by \`npm run test:payloads -- --save\`; changes by hand are lost. -->

[Python text](python-text.md) shows how each value of a board arrives. This page shows how the standard tools of Nest apps change these
values. Each cell comes from a run with every value of that page, and a test fails if the page differs from the run. The versions are
${listVersions()}.

- **✓**: the same value, of the same type.
- **validation error**: the error of the pipe's \`exceptionFactory\`. Give the pipe one that returns an \`RpcException\`, as the
  [guide](guide.md) does. Without one, the pipe throws an \`HttpException\`, and the board gets "Internal server error".
- **Bold**: the handler gets something other than its DTO, or the tool throws and the board gets "Internal server error".

A handler may return all of these values: the transport prints them by the rules of [Python text](python-text.md#printing).

## Rules

- **A parameter without a class is not validated.** With \`@Payload() data: unknown\`, or \`string\`, \`number\` or \`object\`, the
  handler gets each value unchanged, with any options of the pipe.
- **Bytes are a \`Buffer\` on memory of its own**, so \`payload.buffer\` holds nothing else. The same holds for the copy that
  class-transformer makes with \`transform\`. With \`whitelist\` and without \`transform\`, \`ValidationPipe\` copies twice. The second
  copy lies in the pool that Node shares between small Buffers, and \`payload.buffer\` is all of that memory. Return the Buffer itself,
  or \`Uint8Array.from(payload)\`. This package refuses an \`ArrayBuffer\` of the length of the pool (\`Buffer.poolSize\`, 8192 bytes)
  with \`BEN_UNSERIALIZABLE\`.
- **An int beyond 2^53 is a \`bigint\`.** \`@IsInt()\` refuses it, but \`enableImplicitConversion\` makes it a number and may lose
  digits. class-validator has no rule for a \`bigint\`: declare it with \`@IsDefined()\`, and check it in the handler.
  \`JSON.stringify\` throws for it. Pass a replacer: \`(key, value) => (typeof value === 'bigint' ? String(value) : value)\`.
- **\`@IsNumber()\` refuses \`nan\` and \`inf\`**, which a broken sensor sends. If you want them, allow them in its options.
- **Rules with \`each\` refuse None in a list**, even with \`@IsOptional({ each: true })\`.
- **A set becomes an array** with \`transform\` or \`whitelist\`, so declare it with \`@IsArray()\`. Without these options the handler
  gets the \`Set\`.
- **\`enableImplicitConversion\` refuses dicts in a list**, unless \`@Type()\` names their class.
- **\`ValidationPipe\` deletes the keys \`__proto__\`, \`constructor\` and \`prototype\`**, without an error.
  \`ClassSerializerInterceptor\` throws for \`constructor\`, so do not return an unchecked payload through it.
- **A dict with a tuple or bytes as a key is a \`Map\`**, and class-transformer does not read the values of a \`Map\`. With \`transform\` or
  \`whitelist\`, an explaining text replaces the values of tuples and bytes, and the others are \`undefined\`. \`JSON.stringify\` prints
  \`{}\` for a \`Map\` and for a \`Set\`: pass \`[...map]\` or \`[...set]\`.
- **\`structuredClone\` turns every Buffer into a \`Uint8Array\`.**

## Instead of a DTO

A board chooses the values that it sends, but it must not choose the type that a handler gets. \`ValidationPipe\` ensures that only in
part:

- **As the whole payload**, a \`Map\` is a validation error if the DTO has a required property. If all properties are optional,
  the handler gets the DTO with \`transform\`, and the \`Map\` without options. None and sets pass too. An int beyond 2^53 makes the
  pipe throw.
- **As a nested DTO**, with \`@ValidateNested() @Type()\`, a \`Map\` is a validation error. Lists and sets pass, on every transport of
  Nest, because \`@ValidateNested()\` checks their items. If None is a key in addition to a tuple or bytes, class-validator throws.
- **\`@IsInstance()\` together with \`@ValidateNested()\`** turns all of these into validation errors, except if class-validator throws.
  With \`stopAtFirstError\`, that case is a validation error too.

A \`Map\` is a validation error because the reader marks it: it has a property, which loops, printers and \`structuredClone\` do not see,
for each tuple or bytes among its keys. class-transformer reads that property instead of the value. If such a key is the name of a method
of \`Map\`, its text in a template string differs: \`key get\` for \`get\`.

\`BenUdpDictPipe\` before \`ValidationPipe\` catches the remaining cases. If the payload is declared as a DTO, it accepts only a dict, without
Maps and without keys that pipes delete, at any depth. It leaves other parameters as they are. Use both, on the parameter or globally:

\`\`\`ts
import { Controller, ValidationPipe } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { IsNumber } from 'class-validator';
import { BenUdpDictPipe, BenUdpMessagePattern } from 'nestjs-ben-udp';

class Reading {
  @IsNumber()
  celsius!: number;
}

@Controller()
export class ReadingController {
  @BenUdpMessagePattern('store')
  store(@Payload(new BenUdpDictPipe(), new ValidationPipe({ transform: true })) reading: Reading) {
    return reading.celsius;
  }
}
\`\`\`

Then no value of a board makes \`ValidationPipe\` throw, and no
\`Map\`, set or None reaches a handler instead of its DTO. Nest 11.0 also lets bytes pass for a nested DTO, and throws for them with
\`whitelist\`: there, declare nested DTOs with \`@IsInstance()\`, and set \`stopAtFirstError\`.

### A whole DTO with a required property

${formatTable(await tableOfPayloads(RequiredDto))}

### A whole DTO with only optional properties

${formatTable(await tableOfPayloads(OptionalDto))}

### A nested DTO, with required or optional properties

${formatTable(await tableOfNestedDtos())}

## As the property of a DTO

${formatTable(await tableOfProperties())}

## In a list of a DTO

${formatTable(await tableOfItems())}

## Results and other tools

Each value by itself, in a dict and in a list.

${formatTable(await tableOfTools())}
`;
  return format(text, { ...(await resolveConfig(PAGE)), filepath: PAGE });
}

function listVersions(): string {
  const versions = ['@nestjs/common', 'class-validator', 'class-transformer', 'lodash'].map(
    (name) => `${name} ${versionOf(name)}`,
  );
  return `${versions.slice(0, -1).join(', ')} and ${versions.at(-1)}`;
}

/** Packages that export no package.json are asked for their own files. */
function versionOf(name: string): string {
  const folder = require.resolve.paths(name)!.find((path) => hasPackage(path, name))!;
  const { version } = JSON.parse(readFileSync(join(folder, name, 'package.json'), 'utf8')) as { version: string };
  return version;
}

function hasPackage(folder: string, name: string): boolean {
  try {
    return readFileSync(join(folder, name, 'package.json')).length > 0;
  } catch {
    return false;
  }
}

function formatTable({ columns, rows }: Table): string {
  const lines = [columns, columns.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return lines.join('\n');
}
