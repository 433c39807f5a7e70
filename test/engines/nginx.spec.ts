/**
 * Two edges behind nginx, which knows nothing of the protocol. Every host is a network namespace of its own:
 *
 *     boards at home --- router, masquerades ---+
 *                                               +--- nginx ---+--- edge 1
 *     boards in the open -----------------------+             +--- edge 2
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { missing } from './support/engines.js';
import { Namespaces } from './support/namespaces.js';
import { type Program, usePrograms } from './support/processes.js';
import { findProgram } from './support/programs.mjs';

const BOARDS_OF_EACH_SIDE = 10;
const PORT = 8585;

/**
 * nginx keeps sending the datagrams of a session to the same edge, also to a dead one. It looks for another edge when the session has
 * ended, so a session must end between two reports of a board.
 */
const SESSION_MS = 1000;
const BETWEEN_REPORTS_MS = 1500;

/**
 * Boards of each protocol wait this long. Those of v2 send copies meanwhile, and the last ones reach the other edge, because the session of
 * nginx has ended before them.
 */
const TIMEOUT_MS = { v1: 600, v2: 6000 } as const;

/** Edges that are killed, one after the other. CI tries one. */
const KILLED = process.env['BEN_ENGINES_SHORT'] ? (['edge1'] as const) : (['edge1', 'edge2'] as const);

/** A key for each board, among this number. */
const KEYS = 1000;

/** Edges as nginx knows them. */
const UPSTREAMS = ['10.9.1.2', '10.9.2.2'] as const;

const configure = (pidFile: string, upstreams: readonly string[], sessionMs: number) => `
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 1;
error_log stderr info;
pid ${pidFile};
events { worker_connections 1024; }
stream {
  upstream edges {
    hash $remote_addr$remote_port consistent;
    ${upstreams.map((address) => `server ${address}:${PORT} max_fails=1 fail_timeout=2s;`).join('\n')}
  }
  server {
    listen ${PORT} udp;
    proxy_pass edges;
    proxy_timeout ${sessionMs}ms;
  }
}
`;

/** Tells of each request that it executes, and from which address it came. */
const EDGE = `
import { setTimeout as pause } from 'node:timers/promises';
import { BenUdpTransport } from './lib/index.js';
import { Logger } from '@nestjs/common';
Logger.overrideLogger(false);
const transport = new BenUdpTransport({
  host: '0.0.0.0', port: ${PORT}, reservedNetworks: ['10.9.0.0/16'],
  route: Number(process.env.ROUTE),
  ...(process.env.KEYS
    ? { keys: Object.fromEntries(Array.from({ length: Number(process.env.KEYS) }, (_, index) => ['b' + index, Buffer.alloc(32, 'key ' + index)])) }
    : { key: Buffer.alloc(32, 'k') }),
});
process.on('message', () => process.send({ stats: transport.getStats() }));
transport.addHandler('report', async (data, context) => {
  process.send({ executed: data, from: context.getRemoteAddress(), protocol: context.getProtocol() });
  if (context.getProtocol() === 'v2') await pause(300);
  return data;
});
transport.listen((error) => process.send(error ? { error: error.message } : { listening: true }));
`;

/** Boards that report all the time, and keep books about it. */
const BOARDS = `
import { setTimeout as pause } from 'node:timers/promises';
import { VirtualBoard } from './lib/testing/index.js';
const { HOST, ADDRESS, COUNT, PROTOCOL, TIMEOUT, KEYS, PAUSE = ${BETWEEN_REPORTS_MS} } = process.env;
const books = [];
for (let index = 0; index < Number(COUNT); index++) {
  const reports = [];
  books.push(reports);
  const board = await VirtualBoard.start({
    host: HOST, port: ${PORT}, key: Buffer.alloc(32, KEYS ? 'key ' + (KEYS - 1 - index) : 'k'), localAddress: ADDRESS, protocol: PROTOCOL, timeout: Number(TIMEOUT),
  });
  void (async () => {
    for (;;) {
      const name = [ADDRESS, PROTOCOL, index, reports.length].join(' ');
      const report = { beganAt: Date.now(), name };
      const answer = await board.send({ action: 'report', data: name }).catch((error) => {
        report.failure = error.message;
      });
      report.isHeard = answer === name;
      report.isWrong = answer !== undefined && answer !== null && answer !== name;
      reports.push(report);
      await pause(Number(PAUSE));
    }
  })();
}
process.on('message', () => process.send({ books }));
process.send({ started: true });
`;

interface Report {
  readonly beganAt: number;
  readonly name: string;
  readonly isHeard: boolean;
  readonly isWrong: boolean;
  readonly failure?: string;
}

interface Executed {
  readonly executed: string;
  readonly from: string;
  readonly protocol: 'v1' | 'v2';
}

const reason =
  process.getuid?.() === 0 ? missing('nginx', 'ip', 'nft') : 'needs root, because it makes network namespaces';

const start = usePrograms();

async function buildNetwork(): Promise<{ namespaces: Namespaces; hosts: Record<string, string> }> {
  const namespaces = new Namespaces();
  // Registered first, so it runs last: behind the end of all processes.
  onTestFinished(() => namespaces.removeAll());
  const hosts: Record<string, string> = {};
  for (const host of ['nginx', 'edge1', 'edge2', 'open', 'router', 'home']) {
    hosts[host] = await namespaces.add(host);
  }
  await namespaces.connect(['nginx', '10.9.1.1/24'], ['edge1', '10.9.1.2/24']);
  await namespaces.connect(['nginx', '10.9.2.1/24'], ['edge2', '10.9.2.2/24']);
  await namespaces.connect(['nginx', '10.9.3.1/24'], ['open', '10.9.3.2/24']);
  await namespaces.connect(['nginx', '10.9.4.1/24'], ['router', '10.9.4.2/24']);
  await namespaces.connect(['router', '192.168.7.1/24'], ['home', '192.168.7.2/24']);
  await namespaces.run('home', 'ip', 'route', 'add', 'default', 'via', '192.168.7.1');
  await namespaces.run('router', '/bin/sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward');
  await namespaces.run(
    'router',
    'nft',
    'add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }; ' +
      'add rule ip nat post oifname "nginx" masquerade',
  );
  return { namespaces, hosts };
}

interface Nginx {
  /** As the tool that notices a dead edge does it. */
  reload(upstreams: readonly string[]): Promise<void>;
}

async function startNginx(namespace: string, sessionMs = SESSION_MS): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), 'ben-udp-nginx-'));
  const configuration = join(folder, 'nginx.conf');
  const write = (upstreams: readonly string[]) =>
    writeFile(configuration, configure(join(folder, 'pid'), upstreams, sessionMs));
  await write(UPSTREAMS);
  const args = ['netns', 'exec', namespace, findProgram('nginx')!, '-e', 'stderr', '-c', configuration];
  const child: ChildProcess = spawn(findProgram('ip')!, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    await rm(folder, { recursive: true });
  });
  const untilStarted = async (times: number) => {
    await expect.poll(() => log.split('start worker process ').length - 1).toBeGreaterThanOrEqual(times);
  };
  await untilStarted(1);
  let starts = 1;
  return {
    reload: async (upstreams) => {
      await write(upstreams);
      child.kill('SIGHUP');
      await untilStarted(++starts);
    },
  };
}

/** The books of all boards. */
async function readBooks(sides: readonly Program[]): Promise<Report[][]> {
  const all = sides.map(async (boards) => {
    boards.send({ ask: 'books' });
    return (await boards.expect('books'))['books'] as Report[][];
  });
  return (await Promise.all(all)).flat();
}

/** The first two reports of each board that it began after this moment. */
async function firstTwoAfter(moment: number, sides: readonly Program[]): Promise<Report[][]> {
  const later = async () =>
    (await readBooks(sides)).map((reports) => reports.filter(({ beganAt }) => beganAt > moment));
  await expect
    .poll(async () => Math.min(...(await later()).map((each) => each.length)), { timeout: 40_000 })
    .toBeGreaterThanOrEqual(2);
  return (await later()).map((each) => each.slice(0, 2));
}

const unheard = (all: Report[][]) => all.filter((two) => !two.some(({ isHeard }) => isHeard));

describe.skipIf(reason !== undefined)(`two edges behind nginx (${reason ?? 'root here'})`, () => {
  it('hear every board within two of its reports when an edge is killed and comes back', async () => {
    const { hosts } = await buildNetwork();
    const executed: Executed[] = [];
    const startEdge = async (name: 'edge1' | 'edge2'): Promise<Program> => {
      const edge = await start(name, EDGE, { ROUTE: name.at(-1) }, { namespace: hosts[name]! });
      edge.child.on('message', (message: Partial<Executed>) => {
        if (message.executed !== undefined) {
          executed.push(message as Executed);
        }
      });
      await edge.expect('listening');
      return edge;
    };
    const edges = { edge1: await startEdge('edge1'), edge2: await startEdge('edge2') };
    await startNginx(hosts['nginx']!);
    const sides: Program[] = [];
    for (const protocol of ['v1', 'v2'] as const) {
      sides.push(
        await start('open', BOARDS, side('10.9.3.1', '10.9.3.2', protocol), { namespace: hosts['open']! }),
        await start('home', BOARDS, side('10.9.4.1', '192.168.7.2', protocol), { namespace: hosts['home']! }),
      );
    }
    expect(unheard(await firstTwoAfter(0, sides))).toEqual([]);
    const changes: string[] = [];
    for (const name of KILLED) {
      // Its board loses the reply, and asks the other edge.
      await whileBoardWaits(edges[name]);
      await edges[name].end('SIGKILL');
      const afterKill = await firstTwoAfter(Date.now(), sides);
      edges[name] = await startEdge(name);
      const returnedAt = Date.now();
      const executedBefore = executed.length;
      const afterReturn = await firstTwoAfter(returnedAt, sides);
      const missed = (all: Report[][]) => all.filter(([first]) => !first!.isHeard).length;
      changes.push(`${name} killed: ${missed(afterKill)} missed one, back: ${missed(afterReturn)} missed one`);
      expect(unheard(afterKill), `${name} was killed`).toEqual([]);
      expect(unheard(afterReturn), `${name} came back`).toEqual([]);
      // Its boards return to it.
      await expect
        .poll(() => new Set(executed.slice(executedBefore).map(({ from }) => from)).size, { timeout: 10_000 })
        .toBe(2);
    }

    const reports = (await readBooks(sides)).flat();
    const names = executed.map((each) => each.executed);
    console.log(`${4 * BOARDS_OF_EACH_SIDE} boards, ${reports.length} reports. ${changes.join('. ')}`);
    expect(reports.filter(({ isWrong }) => isWrong)).toEqual([]);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    // Each heard report was executed, and both sides were heard.
    const heard = reports.filter(({ isHeard }) => isHeard).map(({ name }) => name);
    expect(heard.filter((name) => !names.includes(name))).toEqual([]);
    expect(new Set(heard.map((name) => name.split(' ', 3).join(' '))).size).toBe(4 * BOARDS_OF_EACH_SIDE);
    // A report of v2 that failed for any other reason than that it may have run did not run.
    const failed = reports.filter(({ name, failure }) => failure !== undefined && name.includes(' v2 '));
    console.log(`v2: ${failed.length} of ${reports.filter(({ name }) => name.includes(' v2 ')).length} reports failed`);
    expect(failed.filter(({ name, failure }) => !failure!.includes('may have run') && names.includes(name))).toEqual(
      [],
    );
    expect(failed.filter(({ name }) => names.includes(name))).not.toEqual([]);
    // An edge sees nginx, and not the boards.
    expect(new Set(executed.map(({ from }) => from))).toEqual(new Set(['10.9.1.1', '10.9.2.1']));
  });

  it('hear every board, each with its own key, when nginx no longer asks an edge whose machine is gone', async () => {
    const { namespaces, hosts } = await buildNetwork();
    const edges: Program[] = [];
    for (const name of ['edge1', 'edge2']) {
      const env = { ROUTE: name.at(-1), KEYS: String(KEYS) };
      const edge = await start(name, EDGE, env, { namespace: hosts[name]! });
      await edge.expect('listening');
      edges.push(edge);
    }
    // Shorter times than above, because no edge starts here.
    const nginx = await startNginx(hosts['nginx']!, 300);
    const env = {
      ...side('10.9.3.1', '10.9.3.2', 'v1'),
      KEYS: String(KEYS),
      COUNT: '20',
      TIMEOUT: '400',
      PAUSE: '500',
    };
    const sides = [await start('open', BOARDS, env, { namespace: hosts['open']! })];
    expect(unheard(await firstTwoAfter(0, sides))).toEqual([]);

    // Its datagrams are dropped and not refused.
    await namespaces.run(
      'edge1',
      'nft',
      'add table ip gone; add chain ip gone in { type filter hook input priority 0; policy drop; }',
    );
    const lost = unheard(await firstTwoAfter(Date.now(), sides));
    expect(lost.length).toBeGreaterThan(0);
    await nginx.reload(UPSTREAMS.slice(1));
    expect(unheard(await firstTwoAfter(Date.now(), sides))).toEqual([]);

    await namespaces.run('edge1', 'nft', 'delete table ip gone');
    await nginx.reload(UPSTREAMS);
    expect(unheard(await firstTwoAfter(Date.now(), sides))).toEqual([]);

    const reports = (await readBooks(sides)).flat();
    const names = edges.flatMap(({ messages }) => messages.flatMap((each) => each['executed'] ?? []));
    console.log(`${KEYS} keys, ${reports.length} reports: ${lost.length} of 20 boards at an edge that is gone`);
    expect(reports.filter(({ isWrong }) => isWrong)).toEqual([]);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    for (const edge of edges) {
      edge.send({ ask: 'stats' });
      // nginx gives a board another port for each report, so each report costs a search.
      expect((await edge.expect('stats'))['stats']).toMatchObject({ rejected: { 'key-attempt-budget': 0 } });
    }
  });
});

/** Resolves when the handler for a board of v2 has begun. */
async function whileBoardWaits({ child }: Program): Promise<void> {
  await new Promise<void>((resolve) => {
    const listen = ({ protocol }: Partial<Executed>) => {
      if (protocol === 'v2') {
        child.off('message', listen);
        resolve();
      }
    };
    child.on('message', listen);
  });
}

/** Boards with this address, for whom nginx has that one. */
function side(nginx: string, boards: string, protocol: 'v1' | 'v2'): NodeJS.ProcessEnv {
  const count = String(BOARDS_OF_EACH_SIDE);
  return { HOST: nginx, ADDRESS: boards, COUNT: count, PROTOCOL: protocol, TIMEOUT: String(TIMEOUT_MS[protocol]) };
}
