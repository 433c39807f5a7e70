/** Compiles the source of a file that need not exist, with the options of the tests. */
import { join } from 'node:path';
import ts from 'typescript';

const folder = join(import.meta.dirname, '..');
const path = join(folder, 'compiled-source.ts');

/** Parsed once: Nest and Node have many declarations. */
const parsed = new Map<string, ts.SourceFile | undefined>();

/** The messages of the compiler. The source has a program of its own, so it may augment modules. */
export function compileSource(source: string): string[] {
  const config = ts.readConfigFile(join(folder, 'tsconfig.json'), (file) => ts.sys.readFile(file));
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, folder);
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists, getSourceFile } = host;
  host.readFile = (file) => (file === path ? source : readFile.call(host, file));
  host.fileExists = (file) => file === path || fileExists.call(host, file);
  host.getSourceFile = (file, ...rest) => {
    if (file === path) {
      return getSourceFile.call(host, file, ...rest);
    }
    if (!parsed.has(file)) {
      parsed.set(file, getSourceFile.call(host, file, ...rest));
    }
    return parsed.get(file);
  };
  const program = ts.createProgram([path], { ...options, noUnusedLocals: false, noUnusedParameters: false }, host);
  const file = program.getSourceFile(path);
  return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(({ messageText }) =>
    ts.flattenDiagnosticMessageText(messageText, '\n'),
  );
}
