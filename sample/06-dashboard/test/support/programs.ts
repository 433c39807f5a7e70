/** The programs that the tests need beside Node, and the message if one is missing. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const POSTGRES_FOLDER = '/usr/lib/postgresql';
const BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** The folder of `initdb` and `postgres`, of the newest version. */
export function findPostgres(): string | undefined {
  const versions = existsSync(POSTGRES_FOLDER) ? readdirSync(POSTGRES_FOLDER) : [];
  return versions
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join(POSTGRES_FOLDER, version, 'bin'))
    .find((folder) => existsSync(join(folder, 'initdb')));
}

export function findBrowser(): string | undefined {
  return BROWSERS.find((path) => existsSync(path));
}

/**
 * Elsewhere than in CI a test that lacks its program is skipped, and says so.
 *
 * @throws Error naming the package, in CI.
 */
export function reportMissing(debianPackage: string): void {
  const hint = `install it: apt-get install ${debianPackage} (CI=true .ci/setup does that)`;
  if (process.env['CI'] === 'true') {
    throw new Error(`the Debian package "${debianPackage}" is not installed; ${hint}`);
  }
  console.warn(`Skipped what needs "${debianPackage}": it is not installed; ${hint}`);
}
