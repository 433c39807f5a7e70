/**
 * A pipe before `ValidationPipe`. A board may send any value of Python text, and the `ValidationPipe` lets some of them pass instead of
 * a DTO: None, a set, or a dict with a tuple or bytes as a key.
 */
import type { ArgumentMetadata, PipeTransform } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';

/** Declared types that are no DTO. `ValidationPipe` does not validate most of them either. */
const NO_DTO: ReadonlySet<unknown> = new Set([
  undefined,
  Object,
  String,
  Number,
  BigInt,
  Boolean,
  Array,
  Map,
  Set,
  Date,
  Buffer,
  Uint8Array,
]);

/** Pipes delete these keys, so no DTO can describe them. */
const DELETED_KEYS = ['__proto__', 'constructor', 'prototype'];

/**
 * Accepts only a dict for a payload that is declared as a DTO class. Refuses a dict that holds, at any depth, a dict with a tuple or
 * bytes as a key, or one of the keys that pipes delete. Other parameters pass.
 *
 *     store(@Payload(new BenUdpDictPipe(), new ValidationPipe({ transform: true })) reading: Reading)
 *     app.useGlobalPipes(new BenUdpDictPipe(), new ValidationPipe({ transform: true }))
 *
 * @publicApi
 */
export class BenUdpDictPipe implements PipeTransform {
  /** @throws RpcException, whose text the board gets. */
  transform(value: unknown, { type, metatype }: ArgumentMetadata): unknown {
    if (type !== 'body' || NO_DTO.has(metatype)) {
      return value;
    }
    if (!isDict(value) || !isPlain(value)) {
      throw new RpcException('the payload must be a dict with texts as keys');
    }
    return value;
  }
}

function isDict(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function isPlain(value: unknown): boolean {
  if (value instanceof Map) {
    return false;
  }
  if (isDict(value) || Array.isArray(value)) {
    return !DELETED_KEYS.some((key) => Object.hasOwn(value, key)) && Object.values(value).every(isPlain);
  }
  return true;
}
