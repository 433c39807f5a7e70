/** Network namespaces: hosts of a network of its own, which the kernel of this machine makes. Needs root. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { findProgram } from './programs.mjs';

const execute = promisify(execFile);

export class Namespaces {
  private readonly made: string[] = [];
  private links = 0;

  /** Several runs at once have different hosts. */
  private readonly prefix = `ben${process.pid}`;

  /** The namespace of a host. It has loopback, and nothing else yet. */
  async add(host: string): Promise<string> {
    const namespace = `${this.prefix}-${host}`;
    await ip('netns', 'add', namespace);
    this.made.push(namespace);
    await ip('-n', namespace, 'link', 'set', 'lo', 'up');
    return namespace;
  }

  /**
   * A cable between two hosts; the addresses of its ends have a prefix length. The interface of each end has the name of the other host.
   */
  async connect([host, address]: [string, string], [other, otherAddress]: [string, string]): Promise<void> {
    const ends = [`${this.prefix}a${this.links}`, `${this.prefix}b${this.links++}`] as const;
    await ip('link', 'add', ends[0], 'type', 'veth', 'peer', 'name', ends[1]);
    for (const [end, from, to, at] of [
      [ends[0], host, other, address],
      [ends[1], other, host, otherAddress],
    ] as const) {
      const namespace = `${this.prefix}-${from}`;
      await ip('link', 'set', end, 'netns', namespace, 'name', to);
      await ip('-n', namespace, 'addr', 'add', at, 'dev', to);
      await ip('-n', namespace, 'link', 'set', to, 'up');
    }
  }

  /** Runs a program on a host. */
  async run(host: string, program: string, ...args: string[]): Promise<void> {
    await ip('netns', 'exec', `${this.prefix}-${host}`, findProgram(program) ?? program, ...args);
  }

  /** Removes all, with the cables. Processes on these hosts must have ended. */
  async removeAll(): Promise<void> {
    for (const namespace of this.made.splice(0)) {
      await ip('netns', 'delete', namespace);
    }
  }
}

async function ip(...args: string[]): Promise<void> {
  await execute(findProgram('ip')!, args);
}
