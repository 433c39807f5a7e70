/** The README's first screen, run as it stands: its server and controller in a process of their own, its device code on a MicroPython VM. */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateKeyFile } from 'nestjs-ben-udp';
import ts from 'typescript';
import { expect, it, onTestFinished } from 'vitest';
import { MicroPythonBoard } from '../tools/micropython/board.mjs';
import { compileLib } from './support/compiled-lib.js';

const readme = await readFile(join(import.meta.dirname, '..', 'README.md'), 'utf8');

/** The block of code that follows a bold heading. */
function blockAfter(heading: string): string {
  const [, code] = new RegExp(`\\*\\*${heading}\\*\\*[^\\n]*\\n\\n\`\`\`\\w+\\n(.*?)\`\`\``, 's').exec(readme) ?? [];
  return code!;
}

/** Replaces text that the README must hold. */
function replace(text: string, from: string, to: string): string {
  expect(text).toContain(from);
  return text.replaceAll(from, to);
}

async function findFreePort(): Promise<string> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return String(port);
}

async function writeModule(path: string, source: string): Promise<void> {
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

it('answers the device as it says', async () => {
  const folder = await compileLib();
  onTestFinished(() => rm(folder, { recursive: true }));
  const port = await findFreePort();
  const keyFile = join(folder, 'key.sec');
  await generateKeyFile(keyFile);
  await writeModule(join(folder, 'main.js'), replace(blockAfter('Server'), '8585', port));
  await writeModule(join(folder, 'sensor.controller.js'), blockAfter('Controller'));
  await writeModule(
    join(folder, 'app.module.js'),
    `import { Module } from '@nestjs/common';
     import { SensorController } from './sensor.controller.js';
     @Module({ controllers: [SensorController] })
     export class AppModule {}`,
  );
  const server = spawn(process.execPath, ['main.js'], { cwd: folder });
  onTestFinished(() => void server.kill());
  let output = '';
  for (const stream of [server.stdout, server.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  await expect.poll(() => output, { timeout: 10_000 }).toContain('Listening on');

  const board = await MicroPythonBoard.start({ key: await readFile(keyFile), port: Number(port) });
  onTestFinished(() => board.close());
  const device = replace(replace(blockAfter('Device'), '192.168.1.2', '127.0.0.1'), '8585', port);
  expect(await board.run(device)).toEqual({ stdout: 'hello\n' });
  await expect.poll(() => output).toMatch(/\{ temperature: 30, humidity: 50 \}|\{ humidity: 50, temperature: 30 \}/);
});
