/** The key of a command in memory: a command overwrites it before it ends, however it ends. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Command } from '../../lib/cli/command.js';
import { decode } from '../../lib/cli/decode.js';
import { doctor } from '../../lib/cli/doctor.js';
import { listen } from '../../lib/cli/listen.js';
import { send } from '../../lib/cli/send.js';
import * as keys from '../../lib/keys/index.js';
import { TestIo } from '../support/cli-io.js';
import { temporaryFolder } from '../support/temporary-folder.js';
import { unreachablePort } from '../support/unreachable-port.js';

vi.mock('../../lib/keys/index.js', async (original) => {
  const actual = await original<typeof keys>();
  return { ...actual, loadKeyFile: vi.fn<typeof actual.loadKeyFile>(actual.loadKeyFile) };
});

type Loaded = ReturnType<typeof keys.loadKeyFile>;

const loadKeyFile = vi.mocked(keys.loadKeyFile);

beforeEach(() => void loadKeyFile.mockClear());

/** Runs a command to its end, which `listen` reaches by Ctrl+C. Returns its exit code, and whether each loaded key is overwritten. */
async function run(command: Command, ...args: string[]) {
  const folder = await temporaryFolder();
  const keyFile = join(folder, 'key.sec');
  await writeFile(keyFile, Buffer.alloc(32, 'k'), { mode: 0o600 });
  const io = new TestIo({ stdin: `> ${Buffer.from('/GETID').toString('hex')}` });
  if (command === listen) {
    io.interrupt();
  }
  const exitCode = await command([...args, '--key-file', keyFile], io);
  const loaded = await Promise.all(loadKeyFile.mock.results.map(({ value }) => value as Loaded));
  return { exitCode, areOverwritten: loaded.map(({ bytes }) => bytes.every((byte) => byte === 0)) };
}

describe('a command overwrites its key', () => {
  it.each(['', '--v2'])('send %s, which fails', async (option) => {
    const args = option ? [option, '--timeout', '10ms'] : [];
    const result = await run(send, `127.0.0.1:${await unreachablePort()}`, 'echo', ...args);
    expect(result).toEqual({ exitCode: 3, areOverwritten: [true] });
  });

  it('send to an address that can not be bound', async () => {
    const result = await run(send, '127.0.0.1', 'echo', '--local-address', '192.0.2.1');
    expect(result).toEqual({ exitCode: 1, areOverwritten: [true] });
  });

  it('listen', async () => {
    expect(await run(listen, '--port', '0', '--host', '127.0.0.1')).toEqual({ exitCode: 0, areOverwritten: [true] });
  });

  it('listen at an address that can not be bound', async () => {
    expect(await run(listen, '--host', '192.0.2.1')).toEqual({ exitCode: 1, areOverwritten: [true] });
  });

  it('doctor', async () => {
    expect((await run(doctor, '--host', '127.0.0.1')).areOverwritten).toEqual([true]);
  });

  it('decode', async () => {
    expect(await run(decode, '-')).toEqual({ exitCode: 1, areOverwritten: [true] });
  });

  it('decode of a file that is missing', async () => {
    expect(await run(decode, '/nowhere')).toEqual({ exitCode: 1, areOverwritten: [true] });
  });
});
