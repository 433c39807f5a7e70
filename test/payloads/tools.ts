/** The standard tools that payloads go through, each as a Nest app would use it. */
import { createRequire } from 'node:module';
import {
  type CallHandler,
  ClassSerializerInterceptor,
  type ExecutionContext,
  type Type,
  ValidationPipe,
  type ValidationPipeOptions,
} from '@nestjs/common';
import { Type as TransformAs } from 'class-transformer';
import { RpcException } from '@nestjs/microservices';
import {
  IsArray,
  IsBoolean,
  IsDefined,
  IsInstance,
  IsInt,
  IsNumber,
  IsObject,
  IsOptional,
  IsString,
  ValidateNested,
} from 'class-validator';
import { firstValueFrom, of } from 'rxjs';

/** The options of ValidationPipe that are tried, by the head of their column. */
export const PIPES: Readonly<Record<string, ValidationPipeOptions>> = {
  'no options': {},
  '`transform`': { transform: true },
  '`whitelist`': { whitelist: true },
  '`forbidNonWhitelisted`': { whitelist: true, forbidNonWhitelisted: true },
  '`transform`, `whitelist`': { transform: true, whitelist: true },
  '`enableImplicitConversion`': { transform: true, transformOptions: { enableImplicitConversion: true } },
};

/** The value that a handler with a parameter of this type gets. */
export function validate(
  options: ValidationPipeOptions,
  metatype: Type | undefined,
  payload: unknown,
): Promise<unknown> {
  const pipe = new ValidationPipe({ ...options, exceptionFactory: () => new RpcException('not valid') });
  return pipe.transform(payload, { type: 'body', metatype });
}

/** A handler's result after the interceptor. */
export async function serialize(result: unknown): Promise<unknown> {
  const interceptor = new ClassSerializerInterceptor({ getAllAndOverride: () => undefined });
  const context = { getHandler: () => undefined, getClass: () => undefined, getType: () => 'rpc' };
  const handler: CallHandler = { handle: () => of(result) };
  return firstValueFrom(await interceptor.intercept(context as unknown as ExecutionContext, handler));
}

const { merge } = createRequire(import.meta.url)('lodash') as { merge(target: object, source: unknown): unknown };

export interface Tool {
  readonly name: string;
  readonly run: (value: unknown) => unknown;
  /** Whether it makes a text, which does not show the contents of a dict. */
  readonly makesText?: boolean;
}

export const TOOLS: readonly Tool[] = [
  { name: '`ClassSerializerInterceptor`', run: serialize },
  { name: '`structuredClone`', run: structuredClone },
  { name: '`JSON.stringify`, read again', run: (value) => JSON.parse(JSON.stringify(value)) as unknown },
  // It merges objects, so each value is put into one.
  { name: "lodash's `merge`", run: (value) => (merge({}, { value }) as { value: unknown }).value },
  { name: 'a template string', run: (value) => `${value as string}`, makesText: true },
];

/** How a property of a DTO is declared. */
export interface Declaration {
  /** As it stands in the class. */
  readonly code: string;
  readonly type: unknown;
  readonly decorators: readonly PropertyDecorator[];
}

/** A class with these properties, as a DTO file would declare it. */
export function defineDto(name: string, properties: Readonly<Record<string, Declaration>>): Type<object> {
  const dto = { [name]: class extends Object {} }[name]!;
  for (const [property, { type, decorators }] of Object.entries(properties)) {
    // TypeScript emits it for each property with a decorator.
    Reflect.defineMetadata('design:type', type, dto.prototype, property);
    decorators.forEach((decorate) => decorate(dto.prototype as object, property));
  }
  return dto;
}

interface NestedDeclaration {
  readonly code: string;
  readonly decorate: (inner: Type<object>) => PropertyDecorator[];
}

/** How a nested DTO is declared. */
export const NESTED_DECLARATIONS: readonly [NestedDeclaration, NestedDeclaration, NestedDeclaration] = [
  { code: '@ValidateNested() @Type(…)', decorate: (inner) => [ValidateNested(), TransformAs(() => inner)] },
  {
    code: '@IsObject() @ValidateNested() @Type(…)',
    decorate: (inner) => [IsObject(), ValidateNested(), TransformAs(() => inner)],
  },
  {
    code: '@IsInstance(…) @ValidateNested() @Type(…)',
    decorate: (inner) => [IsInstance(inner), ValidateNested(), TransformAs(() => inner)],
  },
];

const each = { each: true };

/** The declarations that suit a kind of value, as a property and as the items of a list. */
export const DECLARATIONS: Readonly<
  Record<string, ReadonlyArray<{ readonly one: Declaration; readonly many: Declaration }>>
> = {
  None: [declare('@IsOptional() @IsInt()', Number, [IsOptional(), IsInt()], [IsOptional(each), IsInt(each)])],
  bool: [declare('@IsBoolean()', Boolean, [IsBoolean()], [IsBoolean(each)])],
  'int, float': [declare('@IsNumber()', Number, [IsNumber()], [IsNumber({}, each)])],
  'int beyond 2^53': [
    declare('@IsInt()', Number, [IsInt()], [IsInt(each)]),
    declare('@IsDefined()', BigInt, [IsDefined()], [IsDefined(each)]),
  ],
  'nan, inf': [
    declare('@IsNumber()', Number, [IsNumber()], [IsNumber({}, each)]),
    declare(
      '@IsNumber({ allowNaN: true, allowInfinity: true })',
      Number,
      [IsNumber({ allowNaN: true, allowInfinity: true })],
      [IsNumber({ allowNaN: true, allowInfinity: true }, each)],
    ),
  ],
  str: [declare('@IsString()', String, [IsString()], [IsString(each)])],
  'bytes, bytearray': [declare('@IsInstance(Buffer)', Buffer, [IsInstance(Buffer)], [IsInstance(Buffer, each)])],
  'list, tuple': [declare('@IsArray()', Array, [IsArray()], [IsArray(each)])],
  dict: [declare('@IsObject()', Object, [IsObject()], [IsObject(each)])],
  'dict with `__proto__` as a key': [declare('@IsObject()', Object, [IsObject()], [IsObject(each)])],
  'dict with a tuple or bytes as a key': [
    declare('@IsObject()', Object, [IsObject()], [IsObject(each)]),
    declare('@IsInstance(Map)', Map, [IsInstance(Map)], [IsInstance(Map, each)]),
  ],
  set: [
    declare('@IsArray()', Array, [IsArray()], [IsArray(each)]),
    declare('@IsInstance(Set)', Set, [IsInstance(Set)], [IsInstance(Set, each)]),
  ],
};

function declare(code: string, type: unknown, one: PropertyDecorator[], many: PropertyDecorator[]) {
  return { one: { code, type, decorators: one }, many: { code, type: Array, decorators: [IsArray(), ...many] } };
}
