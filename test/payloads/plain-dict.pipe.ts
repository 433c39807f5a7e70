import { Injectable, type PipeTransform } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';

/** Accepts dicts alone, without Maps and without keys that pipes delete: no DTO can describe those. */
@Injectable()
export class PlainDictPipe implements PipeTransform {
  transform(payload: unknown): unknown {
    if (!isDict(payload) || !isPlain(payload)) {
      throw new RpcException('the payload is no plain dict');
    }
    return payload;
  }
}

const DELETED_KEYS = ['__proto__', 'constructor', 'prototype'];

function isDict(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function isPlain(value: unknown): boolean {
  if (value instanceof Map) {
    return false;
  }
  if (isDict(value) || Array.isArray(value)) {
    return (
      !DELETED_KEYS.some((key) => Object.hasOwn(value as object, key)) && Object.values(value as object).every(isPlain)
    );
  }
  return true;
}
