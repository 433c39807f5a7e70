/** An app whose code is shown in the documentation, run as it stands in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import ts from 'typescript';
import { onTestFinished } from 'vitest';

/** Writes TypeScript as JavaScript into a folder made by `compileLib`, which has the package in `lib/`. */
export async function writeModule(path: string, source: string): Promise<void> {
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2022,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
    },
  });
  await writeFile(path, outputText.replaceAll("'nestjs-ben-udp'", "'./lib/index.js'"));
}

export interface RunningMain {
  readonly process: ChildProcess;
  output: string;
}

/** Runs `main.js` until it ends, or the test does. */
export function startMain(folder: string): RunningMain {
  const child = spawn(process.execPath, ['main.js'], { cwd: folder });
  const main = { process: child, output: '' };
  onTestFinished(() => void child.kill());
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (main.output += text));
  }
  return main;
}
