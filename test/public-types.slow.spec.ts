import { dirname, join, relative } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const lib = join(import.meta.dirname, '..', 'lib');
const TIMEOUT_MS = 120_000;

/** The declarations that `dist` gets, by file. */
function emitDeclarations(): Map<string, string> {
  const config = ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(lib, 'tsconfig.json'), (path) => ts.sys.readFile(path)).config,
    ts.sys,
    lib,
  );
  const declarations = new Map<string, string>();
  const options = { ...config.options, emitDeclarationOnly: true, outDir: lib, noCheck: true };
  ts.createProgram(config.fileNames, options).emit(undefined, (file, text) =>
    declarations.set(relative(lib, file), text),
  );
  return declarations;
}

/** The declarations that a user's compiler reads: the entry, and everything that it imports. */
function reachableFrom(entry: string, declarations: ReadonlyMap<string, string>): string[] {
  const files = new Set([entry]);
  for (const file of files) {
    for (const { fileName } of ts.preProcessFile(declarations.get(file)!).importedFiles) {
      if (fileName.startsWith('.')) {
        files.add(join(dirname(file), fileName.replace(/\.js$/, '.d.ts')));
      }
    }
  }
  return [...files];
}

describe('the published types', () => {
  it(
    'show the platform of a simulator in no public class',
    () => {
      const declarations = emitDeclarations();
      const publicFiles = reachableFrom('index.d.ts', declarations).filter((file) => file.startsWith('nest/ben-udp'));
      expect(publicFiles).toEqual(expect.arrayContaining(['nest/ben-udp.client.d.ts', 'nest/ben-udp.transport.d.ts']));
      const withPlatform = [...publicFiles, 'testing/virtual-board.d.ts'].filter((file) =>
        /\bPlatform\b/.test(declarations.get(file)!),
      );
      expect(withPlatform).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
