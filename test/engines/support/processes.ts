/** Programs in their own processes. They run on the Node of the test, and import the compiled library. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { compileLib } from '../../support/compiled-lib.js';
import { findProgram } from './programs.mjs';

export type Message = Readonly<Record<string, unknown>>;

export interface Program {
  readonly child: ChildProcess;
  /** All messages so far. */
  readonly messages: Message[];
  /** The next message with this property, or the first that came. */
  expect(property: string): Promise<Message>;
  send(message: Message): void;
  /** Ends it by a signal, and waits. */
  end(signal?: NodeJS.Signals): Promise<void>;
}

/** How to start a program, if not as a child of this process alone. */
export interface ProgramOptions {
  /** A network namespace for it. */
  readonly namespace?: string;
}

/** @returns starts a program, given as the text of an ES module that imports `./lib/index.js`. */
export function usePrograms(): (
  name: string,
  text: string,
  env?: NodeJS.ProcessEnv,
  options?: ProgramOptions,
) => Promise<Program> {
  let folder: string;
  beforeAll(async () => {
    folder = await compileLib();
  });
  afterAll(() => rm(folder, { recursive: true }));
  return async (name, text, env = {}, { namespace } = {}) => {
    const path = join(folder, `${name}.mjs`);
    await writeFile(path, text);
    const child = fork(path, {
      env: { ...process.env, ...env },
      // `ip` becomes the program, so the process id and the channel for messages are those of the program.
      ...(namespace === undefined
        ? { execArgv: [] }
        : { execPath: findProgram('ip')!, execArgv: ['netns', 'exec', namespace, process.execPath] }),
    });
    const program = follow(child);
    onTestFinished(() => program.end('SIGKILL'));
    return program;
  };
}

function follow(child: ChildProcess): Program {
  const messages: Message[] = [];
  const unread: Message[] = [];
  const readers: Array<{ property: string; resolve: (message: Message) => void; reject: (error: Error) => void }> = [];
  child.on('message', (message: Message) => {
    messages.push(message);
    const index = readers.findIndex(({ property }) => property in message);
    if (index < 0) {
      unread.push(message);
    } else {
      readers.splice(index, 1)[0]!.resolve(message);
    }
  });
  const exit = once(child, 'exit');
  void exit.then(() => readers.forEach(({ property, reject }) => reject(new Error(`ended before "${property}" came`))));
  return {
    child,
    messages,
    expect: (property) => {
      const index = unread.findIndex((message) => property in message);
      return index >= 0
        ? Promise.resolve(unread.splice(index, 1)[0]!)
        : new Promise((resolve, reject) => readers.push({ property, resolve, reject }));
    },
    send: (message) => void child.send(message),
    end: async (signal = 'SIGTERM') => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal);
        await exit;
      }
    },
  };
}
