/**
 * The board's side of the mailbox on the real MicroPython interpreter, with upstream's client as it is.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { MicroPythonBoard } from '../../../tools/micropython/board.mjs';
import type { Command } from '../src/database/store.js';
import { App } from './support/app.js';
import { type TestDatabase, createDatabase } from './support/databases.js';

const program = await readFile(join(import.meta.dirname, '..', 'device', 'mailbox.py'), 'utf8');

/** Keeps the names of the commands that ran. */
const SETUP = `
ran = []
def work(name, data):
    ran.append(name)
    return {"led": data}
`;

let database: TestDatabase;
let app: App;

beforeAll(async () => {
  database = await createDatabase('pglite');
  app = await App.start({ database, boards: ['hall', 'roof'] });
  await app.logIn();
});

afterAll(async () => {
  await app.end();
  await database.remove();
});

/** A board that has booted with the program, and that keeps its files over a reset. */
async function startBoard(name: string, timeoutMs = 10_000): Promise<MicroPythonBoard> {
  const board = await MicroPythonBoard.start({ key: app.keys.get(name)!, port: app.boardPort, timeoutMs });
  onTestFinished(() => board.close());
  await board.run(`open("mailbox.py", "w").write(${JSON.stringify(program)})`);
  await board.run(`${SETUP}\nfrom mailbox import Mailbox\nmailbox = Mailbox(client, work)`);
  return board;
}

async function queue(board: string, name: string): Promise<string> {
  const response = await app.post(`/api/boards/${board}/commands`, { name, data: { on: true } });
  return ((await response.json()) as Command).id;
}

async function latest(board: string): Promise<Command> {
  return (await app.get<Command[]>(`/api/commands?board=${board}`))[0]!;
}

async function ran(board: MicroPythonBoard): Promise<string> {
  return (await board.run('print(ran, end="")')).stdout;
}

describe('mailbox.py', () => {
  it('is 25 lines of code at most', () => {
    const code = program.replaceAll(/"""[^]*?"""/g, '').split('\n');
    expect(code.filter((line) => line.trim() !== '').length).toBeLessThanOrEqual(25);
  });

  it('runs a command and acknowledges it with the result', async () => {
    const board = await startBoard('hall');
    const checked = board.run('mailbox.check()');
    const id = await queue('hall', 'led');
    await checked;
    expect(await ran(board)).toBe("['led']");
    expect(await latest('hall')).toMatchObject({ id, state: 'sent', tries: 1 });
    await board.run('mailbox.check(wait=0)');
    expect(await latest('hall')).toMatchObject({ id, state: 'done', result: { led: { on: true } } });
  });

  it('takes the command in the reply to a report', async () => {
    const board = await startBoard('hall');
    await queue('hall', 'blink');
    await board.run('mailbox.accept(client.send({"action": "report", "data": {"temperature": 21.5}})["command"])');
    expect(await ran(board)).toBe("['blink']");
    await board.run('mailbox.check(wait=0)');
    expect(await latest('hall')).toMatchObject({ name: 'blink', state: 'done', tries: 1 });
  });

  it('keeps the result until it has arrived, also if a report comes in between', async () => {
    const board = await startBoard('hall');
    await queue('hall', 'blink');
    await board.run('mailbox.check(wait=0)');
    await board.run('mailbox.accept(client.send({"action": "report", "data": {"temperature": 21.5}})["command"])');
    expect(await latest('hall')).toMatchObject({ state: 'sent', tries: 2 });
    await board.run('mailbox.check(wait=0)');
    await board.run('mailbox.check(wait=0)');
    expect(await ran(board)).toBe("['blink']");
    expect(await latest('hall')).toMatchObject({ state: 'done', tries: 2, result: { led: { on: true } } });
  });

  it('runs a command once that is sent again, also after a reset', async () => {
    const board = await startBoard('roof');
    await queue('roof', 'open');
    await board.run('mailbox.check()');
    // The acknowledgement is lost, and the board starts again: only its file is left.
    await board.run('mailbox = Mailbox(client, work)\nmailbox.check()');
    expect(await ran(board)).toBe("['open']");
    expect(await latest('roof')).toMatchObject({ state: 'sent', tries: 2 });
    await board.run('mailbox.check(wait=0)');
    expect(await latest('roof')).toMatchObject({ state: 'done', tries: 2 });
  });

  it('acknowledges a command that failed with its error, and goes on', async () => {
    const board = await startBoard('hall');
    await board.run('def fail(name, data):\n    raise ValueError(name)\nmailbox = Mailbox(client, fail)');
    await queue('hall', 'jump');
    await board.run('mailbox.check(wait=0)\nmailbox.check(wait=0)');
    expect(await latest('hall')).toMatchObject({
      name: 'jump',
      state: 'done',
      result: { error: expect.stringMatching(/ValueError.*jump/) },
    });
  });

  it('acknowledges no command that it could not note, so could not run', async () => {
    const board = await startBoard('hall');
    await queue('hall', 'note');
    await board.run(`mailbox = Mailbox(client, work, "no/such/folder")
for _ in range(2):
    try:
        mailbox.check(wait=0)
    except OSError:
        pass`);
    expect(await ran(board)).toBe('[]');
    expect(await latest('hall')).toMatchObject({ name: 'note', state: 'sent' });
    await board.run('mailbox = Mailbox(client, work)\nmailbox.check(wait=0)\nmailbox.check(wait=0)');
    expect(await ran(board)).toBe("['note']");
    expect(await latest('hall')).toMatchObject({ state: 'done' });
  });

  it('is released when the app ends, and goes on after its restart', async () => {
    const board = await startBoard('roof');
    const lastSeenAt = async () =>
      (await app.get<{ boards: Array<{ name: string; lastSeenAt: number }> }>('/api/overview')).boards.find(
        ({ name }) => name === 'roof',
      )!.lastSeenAt;
    const before = await lastSeenAt();
    const checked = board.run('mailbox.check()');
    await expect.poll(lastSeenAt).toBeGreaterThan(before);
    await Promise.all([app.end(), checked]);
    await app.restart();
    await queue('roof', 'again');
    await board.run('mailbox.check()');
    expect(await ran(board)).toBe("['again']");
  });
});
