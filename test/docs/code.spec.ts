/**
 * Every block of code in the documentation compiles, or names something that exists.
 *
 * Each block of TypeScript is a module in the folder of its page, and must compile against the package with all checks on. A hidden
 * comment right above the block can say more:
 *
 *     <!-- file: app.module.ts -->     the name by which other blocks of the page import it
 *     <!-- given: import … -->         lines to put before a fragment
 *     <!-- sample/01-sensor/x.ts -->   the file that has this block; docs.spec.ts compares them
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MicroPythonBoard } from '../../tools/micropython/board.mjs';
import { type Block, PAGES, readBlocks, readPage, readProse, root } from './pages.js';

const blocks = PAGES.flatMap(readBlocks);
const of = (language: string) => blocks.filter((block) => block.language === language);

/** Modules that blocks may import although no block shows them. */
const SHARED: Record<string, string> = { 'app.module.ts': 'export class AppModule {}' };

function isFromFile({ note }: Block): boolean {
  return note !== undefined && /^\S+\.\w+$/.test(note);
}

interface Module {
  readonly path: string;
  readonly text: string;
  readonly block: Block;
  /** Lines that were put before the lines of the block. */
  readonly given: number;
}

function toModule(block: Block): Module {
  const folder = join(root, 'test/docs/.blocks', block.page);
  const [, file] = /^file: (\S+)$/m.exec(block.note ?? '') ?? [];
  const [, given = ''] = /^given:(.*)$/ms.exec(block.note ?? '') ?? [];
  const before = given === '' ? '' : `${given.trim()}\n`;
  return {
    path: join(folder, file ?? `line-${block.line}.ts`),
    text: `${before}${block.code}\nexport {};\n`,
    block,
    given: before.split('\n').length - 1,
  };
}

/** @returns position and reason for each block that does not compile. Nothing is written to the disk. */
function compile(modules: readonly Module[]): string[] {
  const { config } = ts.readConfigFile(join(root, 'test/tsconfig.json'), (path) => readFileSync(path, 'utf8')) as {
    config: object;
  };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, join(root, 'test'));
  const shared = [...new Set(modules.map(({ path }) => dirname(path)))].flatMap((folder) =>
    Object.entries(SHARED).map(([name, text]) => [join(folder, name), text] as const),
  );
  const files = new Map([...shared, ...modules.map(({ path, text }) => [path, text] as const)]);
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, directoryExists } = host;
  const folders = new Set([...files.keys()].map((path) => dirname(path)));
  host.directoryExists = (path) => folders.has(path) || directoryExists!(path);
  host.fileExists = (path) => files.has(path) || fileExists(path);
  host.getSourceFile = (path, target) =>
    files.has(path) ? ts.createSourceFile(path, files.get(path)!, target) : getSourceFile(path, target);
  // A block alone often has unused names.
  const program = ts.createProgram(
    [...files.keys()],
    { ...options, noUnusedLocals: false, noUnusedParameters: false },
    host,
  );
  return modules.flatMap(({ path, block, given }) =>
    [
      ...program.getSyntacticDiagnostics(program.getSourceFile(path)),
      ...program.getSemanticDiagnostics(program.getSourceFile(path)),
    ].map(({ file, start, messageText }) => {
      const { line } = file!.getLineAndCharacterOfPosition(start!);
      return `${block.page}:${block.line + line - given} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
    }),
  );
}

describe('blocks of code', () => {
  it('exist', () => {
    expect(of('ts').length).toBeGreaterThan(5);
    expect(of('python').length).toBeGreaterThan(1);
  });

  it('have a language that is checked here', () => {
    const known = new Set(['ts', 'python', 'sh', 'json', 'mermaid', 'text']);
    expect(blocks.filter(({ language }) => !known.has(language))).toEqual([]);
  });

  it('of TypeScript compile against the package', { timeout: 60_000 }, () => {
    const modules = of('ts')
      .filter((block) => !isFromFile(block))
      .map(toModule);
    expect(compile(modules)).toEqual([]);
  });

  it('of Python are syntax that MicroPython accepts', async () => {
    const board = await MicroPythonBoard.start({ key: Buffer.alloc(32), port: 9 });
    onTestFinished(() => board.close());
    for (const { page, line, code } of of('python')) {
      // A JSON string is also a Python string.
      const compiled = board.run(`compile(${JSON.stringify(code)}, 'block', 'exec')`);
      await expect(compiled, `${page}:${line}`).resolves.toBeDefined();
    }
  });

  it('of JSON parse', () => {
    for (const { page, line, code } of of('json')) {
      expect(() => JSON.parse(code) as unknown, `${page}:${line}`).not.toThrow();
    }
  });

  it('for the shell name scripts and commands that exist', () => {
    const { scripts } = JSON.parse(readPage('package.json')) as { scripts: Record<string, string> };
    const commands = readFileSync(join(root, 'lib/cli/run.ts'), 'utf8');
    const wrong = of('sh').flatMap(({ page, line, code }) =>
      [
        ...[...code.matchAll(/npm run ([\w:]+)/g)].filter(([, name]) => scripts[name!] === undefined),
        ...[...code.matchAll(/npx nestjs-ben-udp (\w+)/g)].filter(([, name]) => !commands.includes(`  ${name} `)),
        ...[...code.matchAll(/node ((?:tools|bench|test|sample)\/\S+)/g)].filter(
          ([, path]) => !existsSync(join(root, path!)),
        ),
      ].map(([text]) => `${page}:${line} ${text}`),
    );
    expect(wrong).toEqual([]);
  });
});

/** The fragment under which GitHub links to a heading. */
function toAnchor(heading: string): string {
  return heading
    .replaceAll(/[`*]|\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-');
}

function hasTarget(path: string, fragment: string): boolean {
  if (!existsSync(path)) {
    return false;
  }
  if (fragment === '') {
    return true;
  }
  const text = readFileSync(path, 'utf8');
  const [, line] = /^L(\d+)$/.exec(fragment) ?? [];
  return line === undefined
    ? [...text.matchAll(/^#+ (.*)$/gm)].some(([, heading]) => toAnchor(heading!) === fragment)
    : Number(line) <= text.split('\n').length;
}

describe('links', () => {
  it.each(PAGES)('of %s lead to existing pages and headings', (page) => {
    const links = [...readProse(page).matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)/g)];
    const broken = links.filter(
      ([, path, fragment = '']) =>
        !hasTarget(path === '' ? join(root, page) : join(root, dirname(page), path!), fragment),
    );
    expect(broken.map(([link]) => link)).toEqual([]);
  });
});
