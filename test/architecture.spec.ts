/** Imports point downwards: leaves ← protocol, net ← keys ← exchange ← server, client, decode ← nest, cli. */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const lib = join(import.meta.dirname, '..', 'lib');

interface Import {
  readonly from: string;
  readonly to: string;
  readonly isTypeOnly: boolean;
}

const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const imports = files.flatMap(readImports);

/** A file's layer: its folder. What stands at the top is a leaf, but for the list of all that is public. */
function layerOf(file: string): string {
  const [folder, ...rest] = file.split('/');
  if (rest.length > 0) {
    return folder!;
  }
  return file === 'index.ts' ? 'index' : 'leaf';
}

const MAY_IMPORT: Record<string, string[]> = {
  leaf: [],
  protocol: ['leaf'],
  net: ['leaf'],
  keys: ['leaf', 'protocol', 'net'],
  exchange: ['leaf', 'protocol'],
  server: ['leaf', 'protocol', 'keys', 'exchange', 'net'],
  client: ['leaf', 'protocol', 'exchange', 'net'],
  decode: ['leaf', 'protocol', 'keys', 'exchange'],
  nest: ['leaf', 'protocol', 'keys', 'exchange', 'net', 'server', 'client'],
  index: ['leaf', 'protocol', 'keys', 'exchange', 'server', 'client', 'nest'],
  cli: ['leaf', 'protocol', 'keys', 'exchange', 'net', 'server', 'client', 'decode', 'testing'],
  testing: ['leaf', 'protocol', 'keys', 'exchange', 'net'],
};

/** The exchange needs the shape of a key ring, and no way to make one. */
const MAY_IMPORT_TYPES: Record<string, string[]> = { exchange: ['keys'] };

function readImports(file: string): Import[] {
  const text = readFileSync(join(lib, file), 'utf8');
  return [...text.matchAll(/^(?:import|export)\s+(type\s)?[^;]*?from '([^']+)';/gm)].map(([, type, specifier]) => ({
    from: file,
    to: specifier!.startsWith('.')
      ? relative(lib, join(lib, dirname(file), specifier!)).replace(/\.js$/, '.ts')
      : specifier!,
    isTypeOnly: type !== undefined,
  }));
}

const isInternal = ({ to }: Import) => to.endsWith('.ts');

describe('lib', () => {
  it('has imports to check, each of a file that exists', () => {
    expect(imports.length).toBeGreaterThan(50);
    expect(imports.filter(isInternal).filter(({ to }) => !files.includes(to))).toEqual([]);
  });

  it.each(files)('%s imports its own layer or lower ones', (file) => {
    const allowed = [layerOf(file), ...(MAY_IMPORT[layerOf(file)] ?? [])];
    const allowedAsTypes = MAY_IMPORT_TYPES[layerOf(file)] ?? [];
    const wrong = imports
      .filter((each) => each.from === file && isInternal(each))
      .filter(({ to }) => !allowed.includes(layerOf(to)))
      .filter(({ to, isTypeOnly }) => !(isTypeOnly && allowedAsTypes.includes(layerOf(to))));
    expect(wrong).toEqual([]);
  });

  it('knows Nest and rxjs only in the top layer, and there by package roots', () => {
    const foreign = imports.filter((each) => !isInternal(each) && !each.to.startsWith('node:'));
    expect(foreign.filter(({ from }) => layerOf(from) !== 'nest')).toEqual([]);
    expect([...new Set(foreign.map(({ to }) => to))].toSorted()).toEqual([
      '@nestjs/common',
      '@nestjs/core',
      '@nestjs/microservices',
      'rxjs',
    ]);
  });

  it('opens sockets in one file', () => {
    const users = imports.filter(({ to, isTypeOnly }) => to === 'node:dgram' && !isTypeOnly);
    expect(users.map(({ from }) => from)).toEqual(['net/datagram-socket.ts']);
  });

  it('reads and writes files in keys, cli and server alone', () => {
    const users = imports.filter(({ to }) => /^node:fs\b/.test(to)).map(({ from }) => layerOf(from));
    expect(new Set(users)).toEqual(new Set(['keys', 'cli', 'server']));
  });

  it('has no circle of imports', () => {
    const done = new Set<string>();
    const visit = (file: string, path: string[]): void => {
      expect(path, [...path, file].join(' -> ')).not.toContain(file);
      if (!done.has(file)) {
        imports
          .filter((each) => each.from === file && isInternal(each))
          .forEach(({ to }) => visit(to, [...path, file]));
        done.add(file);
      }
    };
    files.forEach((file) => visit(file, []));
  });
});
