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

const STATEMENT = /^(?:import|export)\s+(type\s)?[^;]*?from '([^']+)';/gm;
const SIDE_EFFECT = /^import '([^']+)';/gm;
const CALL = /\b(?:import|require)\(\s*'([^']+)'/g;

const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const imports = files.flatMap((file) => importsIn(file, readFileSync(join(lib, file), 'utf8')));

/** A file's layer: its folder. A file at the top is a leaf, except the list of everything public. */
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

/** The folders inside layers, and the sibling folders that each may import. Any file of a layer may import those next to its folders. */
const ROOMS: Record<string, string[]> = {
  'exchange/ids': ['exchange/limits'],
  'exchange/limits': [],
  'exchange/v2': ['exchange/limits'],
  'nest/relay': [],
  'protocol/python-text': [],
  'protocol/v2': [],
};

/** A file's room: its folder, if that is inside a layer. */
function roomOf(file: string): string | undefined {
  const folder = dirname(file);
  return folder.includes('/') ? folder : undefined;
}

function importsIn(file: string, text: string): Import[] {
  const found = [
    ...Array.from(text.matchAll(STATEMENT), ([, type, to]) => ({ to: to!, isTypeOnly: type !== undefined })),
    ...Array.from(text.matchAll(SIDE_EFFECT), ([, to]) => ({ to: to!, isTypeOnly: false })),
    ...Array.from(text.matchAll(CALL), ([, to]) => ({ to: to!, isTypeOnly: false })),
  ];
  return found.map(({ to, isTypeOnly }) => ({
    from: file,
    to: to.startsWith('.') ? relative(lib, join(lib, dirname(file), to)).replace(/\.js$/, '.ts') : to,
    isTypeOnly,
  }));
}

const isInternal = ({ to }: Import) => to.endsWith('.ts');

describe('lib', () => {
  it('has imports to check, each of a file that exists', () => {
    expect(imports.length).toBeGreaterThan(50);
    expect(imports.filter(isInternal).filter(({ to }) => !files.includes(to))).toEqual([]);
  });

  it('is read with every form of import', () => {
    const text = [
      "import { a } from './a.js';",
      "import type {\n  B,\n} from '../b.js';",
      "export * from 'c';",
      "import 'd';",
      "const e = await import('e');",
      "const f = require('f');",
    ];
    expect(importsIn('net/x.ts', text.join('\n'))).toEqual([
      { from: 'net/x.ts', to: 'net/a.ts', isTypeOnly: false },
      { from: 'net/x.ts', to: 'b.ts', isTypeOnly: true },
      { from: 'net/x.ts', to: 'c', isTypeOnly: false },
      { from: 'net/x.ts', to: 'd', isTypeOnly: false },
      { from: 'net/x.ts', to: 'e', isTypeOnly: false },
      { from: 'net/x.ts', to: 'f', isTypeOnly: false },
    ]);
  });

  it('keeps apart the folders inside a layer', () => {
    const rooms = new Set(files.map(roomOf).filter((room) => room !== undefined));
    expect([...rooms].toSorted()).toEqual(Object.keys(ROOMS).toSorted());
    const wrong = imports.filter(({ from, to }) => {
      const [room, other] = [roomOf(from), roomOf(to)];
      const isSameLayer = layerOf(from) === layerOf(to);
      return room && other && isSameLayer && room !== other && !ROOMS[room]!.includes(other);
    });
    expect(wrong).toEqual([]);
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

  it('exports each type name from one file', () => {
    const places = new Map<string, string[]>();
    for (const file of files) {
      const text = readFileSync(join(lib, file), 'utf8');
      for (const [, name] of text.matchAll(/^export (?:abstract )?(?:class|interface|type|enum) (\w+)/gm)) {
        places.set(name!, [...(places.get(name!) ?? []), file]);
      }
    }
    expect(places.size).toBeGreaterThan(100);
    expect([...places].filter(([, where]) => where.length > 1)).toEqual([]);
  });

  it('has BenUdp in its public names, but for these', () => {
    const text = readFileSync(join(lib, 'index.ts'), 'utf8');
    const lists = Array.from(text.matchAll(/^export (?:type )?\{([^}]*)\}/gm), ([, list]) => list!);
    const names = lists.flatMap((list) => list.match(/\b(?!type\b)\w+/g) ?? []);
    expect(names.length).toBeGreaterThan(50);
    expect(names.filter((name) => !/BenUdp|BEN_UDP/.test(name)).toSorted()).toEqual([
      'AllowDevices',
      'Device',
      'IGNORED_REASONS',
      'REJECTIONS',
      'RawRequest',
      'ReceivedAt',
      'RemoteAddress',
      'RequestMetadata',
      'Signal',
      'generateKeyFile',
    ]);
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
