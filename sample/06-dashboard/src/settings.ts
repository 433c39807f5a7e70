/** Settings from the environment. An empty variable counts as unset. */
import { join, resolve } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

export const MIGRATIONS = join(ROOT, 'migrations');
export const PUBLIC = join(ROOT, 'public');

const MIN_PASSWORD = 12;
/** scrypt hashes a longer text first, so it costs nothing, but it has no use either. */
export const MAX_PASSWORD = 256;

/** The token for injection. */
export const SETTINGS = Symbol('SETTINGS');

export interface Settings {
  readonly isDemo: boolean;
  /** The database if it is PGlite, and the keys unless `BEN_KEY_FOLDER` names their folder. */
  readonly dataFolder: string;
  readonly keyFolder: string;
  readonly boardHost: string;
  readonly boardPort: number;
  /** After this silence a board is shown as silent. */
  readonly silentAfterMs: number;
  readonly httpHost: string;
  readonly httpPort: number;
  /** The proxy in front, as Express's `trust proxy` has it: the number of proxies, `loopback`, or addresses. */
  readonly trustedProxy: string | number | undefined;
  readonly databaseUrl: string | undefined;
  readonly password: string | undefined;
}

/** @throws RangeError naming the variable that is wrong. */
export function readSettings(env: NodeJS.ProcessEnv, args: readonly string[]): Settings {
  const isDemo = args.includes('--demo');
  const text = (name: string) => env[name] || undefined;
  const integer = (name: string, fallback: number, highest: number) => {
    const value = Number(text(name) ?? fallback);
    if (!Number.isInteger(value) || value < 0 || value > highest) {
      throw new RangeError(`${name} must be an integer from 0 to ${highest}, but is "${env[name]}"`);
    }
    return value;
  };
  const proxy = text('TRUSTED_PROXY');
  const password = text('DASHBOARD_PASSWORD');
  if (password !== undefined && (password.length < MIN_PASSWORD || password.length > MAX_PASSWORD)) {
    throw new RangeError(
      `DASHBOARD_PASSWORD must have from ${MIN_PASSWORD} to ${MAX_PASSWORD} characters, but has ${password.length}`,
    );
  }
  const dataFolder = resolve(text('DASHBOARD_DATA') ?? join(ROOT, 'data', isDemo ? 'demo' : 'app'));
  return {
    isDemo,
    dataFolder,
    keyFolder: resolve(text('BEN_KEY_FOLDER') ?? join(dataFolder, 'keys')),
    boardHost: text('BEN_HOST') ?? (isDemo ? '127.0.0.1' : '0.0.0.0'),
    boardPort: integer('BEN_PORT', 8585, 65_535),
    silentAfterMs: 1000 * integer('SILENT_AFTER', isDemo ? 15 : 180, 2_678_400),
    httpHost: text('HTTP_HOST') ?? '127.0.0.1',
    httpPort: integer('HTTP_PORT', 3000, 65_535),
    trustedProxy: /^\d+$/.test(proxy ?? '') ? Number(proxy) : proxy,
    databaseUrl: text('DATABASE_URL'),
    password,
  };
}
