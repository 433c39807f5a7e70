/** Describes in a few words how a tool changes a value. */
import { inspect, isDeepStrictEqual } from 'node:util';
import type { Type } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import { NOT_TRANSFORMED } from '../../lib/protocol/python-text/marked-map.js';

export const SAME = '✓';
export const REFUSED = 'validation error';
/** Marks bytes that are the same but lie in Node's pool. */
export const POOLED = ', in the pool';

/** Runs a tool; its result in words, or that it throws. */
export async function outcomeOf(run: () => unknown, describeResult: (result: unknown) => string): Promise<string> {
  let result: unknown;
  try {
    result = await run();
  } catch (error) {
    return error instanceof RpcException ? REFUSED : `**throws \`${(error as Error).name}\`**`;
  }
  return describeResult(result);
}

/** The change from one value to another. */
export function describeChange(before: unknown, after: unknown): string {
  if (isDeepStrictEqual(before, after)) {
    return isPooled(after) ? SAME + POOLED : SAME;
  }
  if (isDeepStrictEqual(before, toBuffers(after))) {
    return 'bytes as `Uint8Array`';
  }
  if (before instanceof Set && Array.isArray(after)) {
    return after.length === before.size ? 'array of its elements' : 'empty array';
  }
  if (before instanceof Set && isRecord(after)) {
    return '`{}`';
  }
  if (before instanceof Map && typeof after === 'object' && after !== null) {
    return describeMap(after);
  }
  if (isRecord(before) && isRecord(after)) {
    const missing = Object.keys(before).filter((key) => !Object.hasOwn(after, key));
    return missing.length > 0 ? `without ${missing.map((key) => `\`${key}\``).join(', ')}` : code(after);
  }
  if (Buffer.isBuffer(before) && isRecord(after)) {
    return 'object `{ type, data }`';
  }
  if (typeof before === 'bigint' && typeof after === 'number') {
    return 'number, may be rounded';
  }
  return after === undefined ? 'lost' : code(after);
}

/** The value that a handler gets for a DTO. Bold if it is neither the DTO nor a plain object. */
export function describeInPlaceOfDto(dto: Type<object>, before: unknown, after: unknown): string {
  if (after instanceof dto) {
    return 'the DTO';
  }
  if (isRecord(after)) {
    return isRecord(before) ? 'plain object' : 'plain object, without its values';
  }
  if (Array.isArray(after) && after.length > 0 && after.every((item) => item instanceof dto)) {
    return '**array of DTOs**';
  }
  const change = describeChange(before, after);
  return `**${change === SAME ? 'unchanged' : change}**`;
}

/** A text that holds a value. */
export function describeText(before: unknown, after: unknown): string {
  if (typeof before !== 'object' || before === null) {
    return after === String(before) ? SAME : code(after);
  }
  if (Array.isArray(before)) {
    return 'its items, with commas';
  }
  return Buffer.isBuffer(before) ? 'its bytes as UTF-8' : code(after);
}

/** A Map may lose its values, its keys or its type. */
function describeMap(after: object): string {
  const values = after instanceof Map ? [...after.values()] : Object.values(after);
  const type = after instanceof Map ? '`Map`' : 'object';
  if (values.length === 0) {
    return after instanceof Map ? 'empty `Map`' : '`{}`';
  }
  const isLost = values.every((value) => value === undefined || value === NOT_TRANSFORMED);
  return `${type}, ${isLost ? 'a text for its values' : 'keys as strings'}`;
}

export function code(value: unknown): string {
  return `\`${inspect(value, { depth: 1, breakLength: Infinity, compact: true }).replaceAll(/^'|'$/g, '')}\``;
}

function isRecord(value: unknown): value is object {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Map) &&
    !(value instanceof Set) &&
    !ArrayBuffer.isView(value)
  );
}

/** Whether any Buffer in it shares its memory with others. */
function isPooled(value: unknown): boolean {
  if (Buffer.isBuffer(value)) {
    return value.length > 0 && value.buffer.byteLength > value.length;
  }
  return itemsOf(value).some(isPooled);
}

function itemsOf(value: unknown): unknown[] {
  if (value instanceof Map) {
    return [...value].flat();
  }
  return Array.isArray(value) || value instanceof Set ? [...value] : isRecord(value) ? Object.values(value) : [];
}

/** The same with each Uint8Array as the Buffer of its bytes. */
function toBuffers(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    return Buffer.from(value);
  }
  if (Array.isArray(value)) {
    return value.map(toBuffers);
  }
  if (value instanceof Set) {
    return new Set([...value].map(toBuffers));
  }
  if (value instanceof Map) {
    return new Map([...value].map(([key, item]) => [toBuffers(key), toBuffers(item)]));
  }
  return isRecord(value) && Object.getPrototypeOf(value) === Object.prototype
    ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toBuffers(item)]))
    : value;
}
