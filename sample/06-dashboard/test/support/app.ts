/** The app as it is run: a process of its own, on free ports. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { VirtualBoard, type VirtualBoardOptions } from 'nestjs-ben-udp/testing';
import type { TestDatabase } from './databases.js';

export const SAMPLE = join(import.meta.dirname, '..', '..');
export const PASSWORD = 'correct horse battery staple';

export interface AppOptions {
  readonly database: TestDatabase;
  readonly boards?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly nodeArgs?: readonly string[];
  readonly args?: readonly string[];
  /** The folder of a copy of the app. */
  readonly place?: string;
}

export class App {
  readonly keys = new Map<string, Buffer>();
  output = '';
  url = '';
  boardPort = 0;
  cookie = '';
  private child!: ChildProcess;
  private readonly boards: VirtualBoard[] = [];

  private constructor(private readonly options: AppOptions) {}

  static async start(options: AppOptions): Promise<App> {
    const app = new App(options);
    await app.writeKeys();
    await app.run();
    return app;
  }

  get process(): ChildProcess {
    return this.child;
  }

  /** A board with the key of a name, or with another key. */
  async board(name: string, options: Partial<VirtualBoardOptions> = {}): Promise<VirtualBoard> {
    const board = await VirtualBoard.start({ key: this.keys.get(name)!, port: this.boardPort, ...options });
    this.boards.push(board);
    return board;
  }

  async logIn(password = PASSWORD): Promise<Response> {
    const response = await this.post('/api/session', { password });
    const [cookie] = response.headers.getSetCookie();
    this.cookie = cookie?.split(';')[0] ?? this.cookie;
    return response;
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, { ...init, headers: { cookie: this.cookie, ...init.headers } });
  }

  async get<T>(path: string): Promise<T> {
    const response = await this.fetch(path);
    if (!response.ok) {
      throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    }
    return (await response.json()) as T;
  }

  post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    const init = { method: 'POST', body: JSON.stringify(body) };
    return this.fetch(path, { ...init, headers: { 'content-type': 'application/json', ...headers } });
  }

  /** Ends it and resolves with its exit code. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    await this.closeBoards();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill(signal);
      await once(this.child, 'exit');
    }
    return this.child.exitCode;
  }

  async closeBoards(): Promise<void> {
    await Promise.all(this.boards.splice(0).map((board) => board.close()));
  }

  /** Starts again on the same data and the same port for boards. */
  async restart(more: NodeJS.ProcessEnv = {}): Promise<void> {
    await this.run(more);
  }

  private async writeKeys(): Promise<void> {
    const { database, boards = ['kitchen'] } = this.options;
    const folder = join(database.folder, 'keys');
    await mkdir(folder, { recursive: true });
    for (const name of boards) {
      const key = randomBytes(32);
      this.keys.set(name, key);
      await writeFile(join(folder, `${name}.sec`), key, { mode: 0o600 });
    }
  }

  private async run(more: NodeJS.ProcessEnv = {}): Promise<void> {
    const { database, env, nodeArgs = [], args = [], place = SAMPLE } = this.options;
    this.output = '';
    this.child = spawn(process.execPath, [...nodeArgs, join(place, 'dist', 'main.js'), ...args], {
      env: {
        ...process.env,
        DATABASE_URL: database.url ?? '',
        DASHBOARD_DATA: database.folder,
        DASHBOARD_PASSWORD: PASSWORD,
        BEN_HOST: '127.0.0.1',
        BEN_PORT: String(this.boardPort),
        HTTP_PORT: '0',
        NO_COLOR: '1',
        ...env,
        ...more,
      },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const seen = new Promise<void>((resolve, reject) => {
      const note = (text: string) => {
        this.output += text;
        if (this.output.includes('Stop with Ctrl+C')) {
          resolve();
        }
      };
      this.child.stdout!.setEncoding('utf8').on('data', note);
      this.child.stderr!.setEncoding('utf8').on('data', note);
      this.child.once('exit', (code) => reject(new Error(`the app ended with ${code}:\n${this.output}`)));
    });
    await seen;
    this.url = /http:\/\/\S+/.exec(this.output)![0];
    this.boardPort = Number(/udp \S+ port (\d+)/.exec(this.output)![1]);
  }
}

/** Events of the stream, as they come. */
export async function* readStream(response: Response): AsyncGenerator<{ type: string; data: unknown }> {
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const blocks = text.split('\n\n');
    text = blocks.pop()!;
    for (const block of blocks) {
      const [, type] = /^event: (.*)$/m.exec(block) ?? [];
      const [, data] = /^data: (.*)$/m.exec(block) ?? [];
      if (type && data) {
        yield { type, data: JSON.parse(data) as unknown };
      }
    }
  }
}
