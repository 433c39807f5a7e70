/** Upstream's server for a test: it keeps a record, and ends with the test. */
import { onTestFinished } from 'vitest';
import { UpstreamServer as Program, type UpstreamServerOptions } from './upstream-program.mjs';

export { dumpJson } from './upstream-program.mjs';

export class UpstreamServer {
  /** Requests that were served, as their texts. */
  readonly served: string[] = [];
  /** Ids that were issued. */
  readonly ids: string[] = [];
  private program!: Program;

  private constructor() {}

  static async start(options: UpstreamServerOptions): Promise<UpstreamServer> {
    const server = new UpstreamServer();
    server.program = await Program.start({
      ...options,
      onIssued: (id) => server.ids.push(id),
      onServed: (text) => server.served.push(text),
    });
    onTestFinished(() => server.program.end());
    return server;
  }

  get port(): number {
    return this.program.port;
  }

  /** Its last error; `undefined` while it lives. */
  get causeOfDeath(): unknown {
    return this.program.causeOfDeath;
  }
}
