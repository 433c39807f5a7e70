/** Values of boards in ValidationPipe, ClassSerializerInterceptor and other tools: docs/payloads.md records this run. */
import { readFile } from 'node:fs/promises';
import { type ArgumentMetadata, Controller, ValidationPipe } from '@nestjs/common';
import { MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { Type } from 'class-transformer';
import { IsInt, ValidateNested } from 'class-validator';
import { BenUdpDictPipe } from 'nestjs-ben-udp';
import { describe, expect, it } from 'vitest';
import { parsePythonText } from '../../lib/protocol/index.js';
import { startApp } from '../support/nest-app.js';
import { REFUSED } from './outcomes.js';
import { PAGE, makePage } from './page.js';
import { OptionalDto, RequiredDto, tableOfNestedDtos, tableOfPayloads } from './tables.js';
import { DECLARATIONS, NESTED_DECLARATIONS, PIPES, defineDto, validate } from './tools.js';
import { KINDS } from './values.js';

declare module 'vitest' {
  interface TaskMeta {
    /** docs/payloads.md as this run would have it. */
    payloadsPage?: string;
  }
}

const texts = KINDS.flatMap((kind) => kind.texts);

describe('docs/payloads.md', () => {
  it('has every value of docs/python-text.md', () => {
    expect(KINDS.filter((kind) => kind.texts.length === 0)).toEqual([]);
    expect(texts.length).toBeGreaterThan(60);
  });

  it('is what this run found: npm run test:payloads -- --save', async ({ task }) => {
    task.meta.payloadsPage = await makePage();
    expect(await readFile(PAGE, 'utf8')).toBe(task.meta.payloadsPage);
  });
});

describe('ValidationPipe', () => {
  it.each([undefined, Object, String, Number, Array, Buffer])(
    'leaves each value unchanged for a parameter of the class %s',
    async (metatype) => {
      for (const text of texts) {
        for (const options of Object.values(PIPES)) {
          expect(await validate(options, metatype as undefined, parsePythonText(text))).toStrictEqual(
            parsePythonText(text),
          );
        }
      }
    },
  );

  it('with transform gives a handler no Map instead of a whole DTO', async () => {
    for (const dto of [RequiredDto, OptionalDto]) {
      const { columns, rows } = await tableOfPayloads(dto);
      const [, ...outcomes] = rows.find(([kind]) => kind!.includes('tuple or bytes'))!;
      const transforming = outcomes.filter((_, index) => /transform|Implicit/.test(columns[index + 1]!));
      expect(transforming).toHaveLength(3);
      expect(transforming.filter((outcome) => outcome !== REFUSED && outcome !== 'the DTO')).toEqual([]);
    }
  });

  it.each(Object.entries(PIPES))('with %s gives a handler no Map instead of a nested DTO', async (_name, options) => {
    const [{ decorate }] = NESTED_DECLARATIONS;
    for (const inner of [RequiredDto, OptionalDto]) {
      const dto = defineDto('Outer', { inner: { code: '', type: inner, decorators: decorate(inner) } });
      for (const map of [
        "{b'k': {'humidity': 50}}",
        "{b'get': 1}",
        "{b'size': 1}",
        "{b'__proto__': 1}",
        "{b'constructor': 1}",
        "{('get',): 1, b'get': 2}",
        '{(): {}, 1: 2}',
      ]) {
        const payload = parsePythonText(`{'inner': ${map}}`);
        await expect(validate(options, dto, payload), map).rejects.toThrow(RpcException);
      }
    }
  });

  it('refuses everything else for a nested DTO that is also declared with IsInstance', async () => {
    const { rows } = await tableOfNestedDtos();
    const declared = rows.filter(([code, sent]) => code!.includes('IsInstance') && !sent!.includes('None'));
    expect(declared).toHaveLength(3);
    expect(declared.flatMap(([, , ...outcomes]) => outcomes).filter((outcome) => outcome !== REFUSED)).toEqual([]);
  });
});

describe('the advice of the page', () => {
  it('makes a validation error of None as a key, with IsInstance and stopAtFirstError', async () => {
    const [, , { decorate }] = NESTED_DECLARATIONS;
    const dto = defineDto('Outer', { inner: { code: '', type: RequiredDto, decorators: decorate(RequiredDto) } });
    for (const options of Object.values(PIPES)) {
      const payload = parsePythonText("{'inner': {(1, 2): 3, None: 4}}");
      await expect(validate({ ...options, stopAtFirstError: true }, dto, payload)).rejects.toThrow(RpcException);
    }
  });

  it('reads dicts in a list with enableImplicitConversion, if Type names their class', async () => {
    const decorators = [ValidateNested({ each: true }), Type(() => RequiredDto)];
    const dto = defineDto('Outer', { values: { code: '', type: Array, decorators } });
    const options = PIPES['`enableImplicitConversion`']!;
    const result = await validate(options, dto, parsePythonText("{'values': [{'humidity': 50}]}"));
    expect((result as { values: unknown[] }).values).toEqual([expect.any(RequiredDto)]);
  });

  it('is right about the text of a key that names a method of Map', () => {
    const keys = [...(parsePythonText("{b'get': 1, b'k': 2}") as Map<unknown, unknown>).keys()];
    expect(keys.map((key) => `${key as string}`)).toEqual(['key get', 'k']);
    expect(keys.map((key) => (key as Buffer).toString())).toEqual(['get', 'k']);
  });

  it('copies bytes into separate memory with `transform`, so their `buffer` holds nothing else', async () => {
    const dto = defineDto('Frame', { value: DECLARATIONS['bytes, bytearray']![0]!.one });
    for (const options of Object.values(PIPES).filter(({ transform }) => transform)) {
      const { value } = (await validate(options, dto, parsePythonText("{'value': b'abc'}"))) as { value: Buffer };
      expect(value).toEqual(Buffer.from('abc'));
      expect(value.buffer.byteLength).toBe(3);
    }
  });

  it('copies bytes twice with `whitelist` alone, and Uint8Array.from takes them out of the pool', async () => {
    const dto = defineDto('Frame', { value: DECLARATIONS['bytes, bytearray']![0]!.one });
    const { value } = (await validate({ whitelist: true }, dto, parsePythonText("{'value': b'abc'}"))) as {
      value: Buffer;
    };
    expect(value.buffer.byteLength).toBeGreaterThan(3);
    expect(Uint8Array.from(value).buffer.byteLength).toBe(3);
  });
});

describe('BenUdpDictPipe', () => {
  const pipe = new BenUdpDictPipe();
  const DTO: ArgumentMetadata = { type: 'body', metatype: RequiredDto };

  it.each<[what: string, metadata: ArgumentMetadata]>([
    ['a payload without a class', { type: 'body', metatype: Object }],
    ['a payload of unknown type', { type: 'body' }],
    ['bytes', { type: 'body', metatype: Buffer }],
    ['a text', { type: 'body', metatype: String }],
    ['a parameter that is no payload', { type: 'custom', metatype: RequiredDto }],
  ])('leaves %s as it is', (_what, metadata) => {
    for (const value of [null, new Map([[Buffer.from('a'), 1]]), 'text']) {
      expect(pipe.transform(value, metadata)).toBe(value);
    }
  });
  const Nested = defineDto('Nested', {
    inner: { code: '', type: RequiredDto, decorators: [ValidateNested(), Type(() => RequiredDto)] },
  });

  const isAccepted = (payload: unknown) => {
    try {
      return pipe.transform(payload, DTO) === payload;
    } catch (error) {
      expect(error).toBeInstanceOf(RpcException);
      return false;
    }
  };

  it('accepts dicts with every kind of value but Maps and keys that pipes delete', () => {
    const accepted = KINDS.filter((kind) => kind.texts.every((text) => isAccepted({ value: [parsePythonText(text)] })));
    expect(KINDS.filter((kind) => !accepted.includes(kind)).map(({ name }) => name)).toEqual([
      'dict with `__proto__` as a key',
      'dict with a tuple or bytes as a key',
    ]);
    expect(
      KINDS.filter((kind) => kind.texts.some((text) => isAccepted(parsePythonText(text)))).map(({ name }) => name),
    ).toEqual(['dict']);
  });

  it.each(Object.entries(PIPES))(
    'before ValidationPipe with %s leaves the DTO, or an error of validation',
    async (_name, options) => {
      for (const text of texts) {
        for (const dto of [RequiredDto, OptionalDto, Nested]) {
          for (const payload of [
            parsePythonText(text),
            { inner: parsePythonText(text) },
            { inner: [parsePythonText(text)] },
          ]) {
            const result = await Promise.resolve()
              .then(() => validate(options, dto, pipe.transform(payload, DTO)))
              .catch((error: unknown) => error);
            const isRefused = result instanceof RpcException;
            expect(
              isRefused || Object.getPrototypeOf(result) === (options.transform ? dto.prototype : Object.prototype),
              text,
            ).toBe(true);
          }
        }
      }
    },
  );
});

class Inner {
  @IsInt()
  humidity!: number;
}

class Outer {
  @ValidateNested()
  @Type(() => Inner)
  inner!: Inner;
}

const validation = new ValidationPipe({ transform: true, exceptionFactory: () => new RpcException('not valid') });

@Controller()
class Handlers {
  @MessagePattern('validated')
  validated(@Payload(validation) outer: Outer) {
    return outer.inner.constructor.name;
  }

  @MessagePattern('guarded')
  guarded(@Payload(new BenUdpDictPipe(), validation) outer: Outer) {
    return outer.inner.constructor.name;
  }
}

describe('a board', () => {
  const status = 'error';

  it.each<[data: string, validated: unknown, guarded: unknown]>([
    ["{'inner': {'humidity': 50}}", { data: 'Inner' }, { data: 'Inner' }],
    [
      "{'inner': {'humidity': 'x'}}",
      { data: null, error: { status, message: 'not valid' } },
      { data: null, error: { status, message: 'not valid' } },
    ],
    [
      "{'inner': {b'k': 1}}",
      { data: null, error: { status, message: 'not valid' } },
      { data: null, error: { status, message: 'the payload must be a dict with texts as keys' } },
    ],
    [
      "{'inner': {b'k': 1, None: 2}}",
      { data: null, error: { status, message: 'Internal server error' } },
      { data: null, error: { status, message: 'the payload must be a dict with texts as keys' } },
    ],
    [
      '9007199254740993',
      { data: null, error: { status, message: 'Internal server error' } },
      { data: null, error: { status, message: 'the payload must be a dict with texts as keys' } },
    ],
  ])('that sends %s is answered as the page says', async (data, validated, guarded) => {
    const { board } = await startApp({ controllers: [Handlers] });
    const device = await board();
    const ask = async (action: string) =>
      JSON.parse((await device.exchange(`{'action': '${action}', 'data': ${data}}`))!) as unknown;
    expect(await ask('validated')).toEqual(validated);
    expect(await ask('guarded')).toEqual(guarded);
  });
});
