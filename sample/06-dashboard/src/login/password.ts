import { type ScryptOptions, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify<string, Uint8Array, number, ScryptOptions, Buffer>(scrypt);

/** Some 60 ms and 32 MiB for each guess. */
const COST = { N: 32_768, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** Salt and hash as text, to be stored. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, salt, HASH_BYTES, COST);
  return `${salt.toString('hex')}:${hash.toString('hex')}`;
}

/** The same text for the same password at each start. It is not stored: a thief of the database could guess with it. */
export async function identifyPassword(password: string): Promise<string> {
  return (await derive(password, Buffer.from('sessions of the dashboard'), HASH_BYTES, COST)).toString('hex');
}

export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const [salt, hash] = stored.split(':').map((part) => Buffer.from(part, 'hex'));
  return timingSafeEqual(await derive(password, salt!, HASH_BYTES, COST), hash!);
}

/** 120 random bits that can be typed. */
export function makePassword(): string {
  return randomBytes(15).toString('base64url');
}
