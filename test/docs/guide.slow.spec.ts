/** Follows the guide from nothing to a board: its server in a separate process, its main.py on a MicroPython VM. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { generateKeyFile } from 'nestjs-ben-udp';
import { expect, it, onTestFinished, vi } from 'vitest';
import { MicroPythonBoard } from '../../tools/micropython/board.mjs';
import { compileLib } from '../support/compiled-lib.js';
import { findFreePort } from '../../tools/support/free-port.mjs';
import { startMain, writeModule } from '../support/shown-app.js';
import { readBlocks, readPage } from './pages.js';

const PAGE = 'docs/guide.md';

// Compilers and processes take their time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

/** The block of code that follows a bold file name. */
function codeOf(file: string): string {
  const line = readPage(PAGE).split('\n').indexOf(`**${file}**`);
  return readBlocks(PAGE).find((block) => line >= 0 && block.line > line)!.code;
}

function replace(text: string, from: string, to: string): string {
  expect(text).toContain(from);
  return text.replaceAll(from, to);
}

/** Stands in for modules that the VM lacks, and ends the program at the first long sleep. */
const BOARD = `
import sys
class Network:
    STA_IF = 0
    class WLAN:
        def __init__(self, interface): self.asked = 0
        def active(self, on): pass
        def connect(self, name, password): pass
        def isconnected(self):
            self.asked += 1
            return self.asked > 2
        def ifconfig(self): return ("127.0.0.1", "", "", "")
class Time:
    def sleep(seconds):
        if seconds > 1: raise KeyboardInterrupt
sys.modules["network"] = Network
sys.modules["time"] = Time
`;

it('leads to an answered board', async () => {
  const folder = await compileLib();
  onTestFinished(() => rm(folder, { recursive: true }));
  const port = String(await findFreePort());
  const keyFile = join(folder, 'key.sec');
  await generateKeyFile(keyFile);
  await writeModule(join(folder, 'main.js'), replace(codeOf('main.ts'), '8585', port));
  await writeModule(join(folder, 'app.module.js'), codeOf('app.module.ts'));
  await writeModule(join(folder, 'sensor.controller.js'), codeOf('sensor.controller.ts'));
  const server = startMain(folder);
  await expect.poll(() => server.output, { timeout: 30_000 }).toContain('Listening on');

  const board = await MicroPythonBoard.start({ key: await readFile(keyFile), port: Number(port) });
  onTestFinished(() => board.close());
  const program = replace(replace(codeOf('main.py'), '192.168.1.2', '127.0.0.1'), '8585', port);
  const run = `try:\n    exec(${JSON.stringify(program)})\nexcept KeyboardInterrupt:\n    pass\n`;
  expect(await board.run(BOARD + run)).toEqual({ stdout: 'this board is 127.0.0.1\nhello\n' });
  await expect.poll(() => server.output).toContain('127.0.0.1: 21.5 °C');
});
