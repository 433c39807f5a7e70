import 'reflect-metadata';
import type { ArgumentMetadata } from '@nestjs/common';
import { RpcException } from '@nestjs/microservices';
import { BenUdpDictPipe } from 'nestjs-ben-udp';
import { describe, expect, it } from 'vitest';

class Reading {
  temperature!: number;
}

const pipe = new BenUdpDictPipe();
const transform = (value: unknown, metadata: Partial<ArgumentMetadata> = {}) =>
  pipe.transform(value, { type: 'body', metatype: Reading, ...metadata });

describe('BenUdpDictPipe', () => {
  it.each([{}, { temperature: 21.5, tags: ['a', { b: null }] }])('passes the dict %o on', (value) => {
    expect(transform(value)).toBe(value);
  });

  it.each([null, undefined, 'text', 1, [], new Set([1]), new Map(), Buffer.from('a'), new Reading()])(
    'refuses %o for a DTO',
    (value) => {
      expect(() => transform(value)).toThrow(RpcException);
    },
  );

  it.each([{ a: new Map() }, { a: [{ b: new Map() }] }, JSON.parse('{"a": {"__proto__": 1}}'), { constructor: 1 }])(
    'refuses %o for what it holds',
    (value) => {
      expect(() => transform(value)).toThrow('the payload must be a dict with texts as keys');
    },
  );

  it.each([undefined, Object, String, Map, Set, Buffer])(
    'passes any value on for a parameter of type %o',
    (metatype) => {
      const value = new Set([1]);
      expect(transform(value, { metatype })).toBe(value);
    },
  );

  it('passes a parameter on that is not the payload', () => {
    expect(transform('kitchen', { type: 'custom' })).toBe('kitchen');
  });
});
