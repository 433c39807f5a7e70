/**
 * Runs the code of the README unchanged: server, controller and client in separate processes, the device code on a MicroPython VM.
 * The other code is compiled.
 */
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { generateKeyFile } from 'nestjs-ben-udp';
import { expect, it, onTestFinished, vi } from 'vitest';
import { MicroPythonBoard } from '../tools/micropython/board.mjs';
import { compileSource } from './support/compile-source.js';
import { compileLib } from './support/compiled-lib.js';
import { KEY_CONTENTS, startApp } from './support/nest-app.js';
import { findFreePort } from '../tools/support/free-port.mjs';
import { startMain, writeModule } from './support/shown-app.js';

const readme = await readFile(join(import.meta.dirname, '..', 'README.md'), 'utf8');

// Compilers and processes are slow on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

/** The block of code after a bold heading. */
function blockAfter(heading: string): string {
  const [, code] = new RegExp(`\\*\\*${heading}\\*\\*[^\\n]*\\n\\n\`\`\`\\w+\\n(.*?)\`\`\``, 's').exec(readme) ?? [];
  return code!;
}

/** The blocks of TypeScript in a section. */
function blocksOf(section: string): string[] {
  const [, text] = new RegExp(`\n## ${section}\n(.*?)\n## `, 's').exec(readme) ?? [];
  return [...text!.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code!);
}

/** Replaces text that the README must contain. */
function replace(text: string, from: string, to: string): string {
  expect(text).toContain(from);
  return text.replaceAll(from, to);
}

it('has a server that answers its device code', async () => {
  const folder = await compileLib();
  onTestFinished(() => rm(folder, { recursive: true }));
  const port = String(await findFreePort());
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
  const server = startMain(folder);
  await expect.poll(() => server.output, { timeout: 30_000 }).toContain('Listening on');

  const board = await MicroPythonBoard.start({ key: await readFile(keyFile), port: Number(port) });
  onTestFinished(() => board.close());
  const device = replace(replace(blockAfter('Device'), '192.168.1.2', '127.0.0.1'), '8585', port);
  expect(await board.run(device)).toEqual({ stdout: 'hello\n' });
  await expect
    .poll(() => server.output)
    .toMatch(/\{ temperature: 30, humidity: 50 \}|\{ humidity: 50, temperature: 30 \}/);
});

@Controller()
class WeatherStation {
  private measurements = 0;
  reports: unknown[] = [];

  @MessagePattern('measure')
  measure(@Payload() { samples }: { samples: number }) {
    this.measurements++;
    switch (this.measurements) {
      case 1:
        return samples + 16.5;
      case 2:
        throw new RpcException('no such sensor');
      default:
        return new Promise(() => undefined);
    }
  }

  @EventPattern('dhtsensor')
  report(@Payload() reading: unknown) {
    this.reports.push(reading);
  }
}

it('has a client that gets replies and the errors that it names', async () => {
  const [client] = blocksOf('The other side: a client');
  const { app, port } = await startApp({ controllers: [WeatherStation] }, { shutdownTimeout: 0 });
  const folder = await compileLib();
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'key.sec'), KEY_CONTENTS, { mode: 0o600 });
  const local = replace(replace(client!, '192.168.1.2', '127.0.0.1'), '8585', String(port));
  await writeModule(join(folder, 'weather.js'), replace(local, '2000', '300'));
  await writeFile(
    join(folder, 'main.js'),
    `import 'reflect-metadata';
     import { NestFactory } from '@nestjs/core';
     import { WeatherModule, WeatherService } from './weather.js';
     const app = await NestFactory.createApplicationContext(WeatherModule, { logger: false });
     const weather = app.get(WeatherService);
     console.log(await weather.measure());
     weather.report(30);
     await weather.measure().catch((error) => console.log(JSON.stringify(error)));
     await weather.measure().catch((error) => console.log(error.code, error.attempts));
     await app.close();`,
  );
  const main = startMain(folder);
  await once(main.process, 'close');
  expect(main.output.split('\n')).toEqual([
    '21.5',
    '{"status":"error","message":"no such sensor"}',
    expect.stringMatching(/^BEN_TIMEOUT: measure to 127\.0\.0\.1 failed after step "request" in \d+ ms$/),
    'BEN_TIMEOUT 3',
    '',
  ]);
  expect(app.get(WeatherStation).reports).toEqual([{ temperature: 30, humidity: 50 }]);
});

it('has a client whose code compiles, and rejects misuse', () => {
  const [client, ...others] = blocksOf('The other side: a client');
  expect(others).toEqual([]);
  const misuses = [
    'const unknown: BenUdpClientOptions = { host: "a", maxSocket: 1 };',
    'const mistyped: BenUdpClientOptions = { host: 192 };',
    'new BenUdpRecordBuilder(1).setTimeout("2000");',
  ].map((line) => `// @ts-expect-error\n${line}`);
  expect(compileSource([client, ...others, ...misuses].join('\n'))).toEqual([]);
});
