/**
 * A slow and lossy network of the bench's own: two network namespaces, one for the server and one for the devices, and between them a
 * program that delays each packet. The kernel drops packets by chance as they come in. Needs root and Linux; all of it ends with
 * this process.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { findMissing, run, withSbin } from './programs.mjs';

const SERVER_ADDRESS = '10.0.0.1';
const DEVICE_ADDRESSES = '10.1.0.0/16';

/** As `addressOf` makes addresses of these. */
const ENVIRONMENT = { BENCH_HOST: SERVER_ADDRESS, BENCH_NETWORK: '10' };

const TOOLS = ['unshare', 'nsenter', 'ip', 'nft', 'python3'];

/** @returns {string | undefined} why there can be no such network here */
export function findObstacle() {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    return 'it needs Linux and root';
  }
  const missing = findMissing(TOOLS);
  if (missing.length > 0) {
    return `it needs ${missing.join(', ')}`;
  }
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    run(['unshare', '-n', 'true']);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * @typedef {import('node:stream').Readable} Readable
 * @typedef {import('node:stream').Writable} Writable
 * @typedef {import('node:child_process').ChildProcessByStdio<Writable, Readable, null>} Holder keeps a namespace open
 */

export class Network {
  /**
   * Commands that run a program in a namespace.
   *
   * @type {string[]}
   */
  inServer;
  /** @type {string[]} */
  inDevices;
  env = ENVIRONMENT;
  /** @type {[Holder, Holder]} */
  #holders;

  /**
   * @param {Holder} server
   * @param {Holder} devices
   */
  constructor(server, devices) {
    this.#holders = [server, devices];
    [this.inServer, this.inDevices] = this.#holders.map(({ pid }) => ['nsenter', '-t', String(pid), '-n']);
  }

  static async start() {
    const program = fileURLToPath(new URL('delay.py', import.meta.url));
    const delay = await hold(['python3', program]);
    const devices = await hold(['sh', '-c', 'echo ready; exec cat']);
    const network = new Network(delay, devices);
    run([...network.inServer, 'ip', 'link', 'set', 'devices', 'netns', String(devices.pid)]);
    setUp(network.inServer, 'server', [
      ['addr', 'add', SERVER_ADDRESS, 'dev', 'server'],
      ['route', 'add', DEVICE_ADDRESSES, 'dev', 'server'],
    ]);
    setUp(network.inDevices, 'devices', [
      ['route', 'add', 'local', DEVICE_ADDRESSES, 'dev', 'lo'],
      ['route', 'add', SERVER_ADDRESS, 'dev', 'devices', 'src', '10.1.0.1'],
    ]);
    return network;
  }

  /**
   * From now on.
   *
   * @param {{ loss: number, roundTripMs: number }} way `loss` is the chance of each packet to be lost, in each direction, 0 to 1 in steps
   * of a thousandth
   */
  setWay({ loss, roundTripMs }) {
    const [server, devices] = ['server', 'devices'].map((name) => lossRules(name, Math.round(loss * 1000)));
    run([...this.inServer, 'nft', '-f', '-'], server);
    run([...this.inDevices, 'nft', '-f', '-'], devices);
    this.#holders[0].stdin.write(`${roundTripMs / 2}\n`);
  }

  /** @returns {number} packets that never got to the delay, because it was too slow. There should be none */
  get overflows() {
    const { inServer, inDevices } = this;
    const ends = /** @type {[string, string[]][]} */ ([
      ['server', inServer],
      ['devices', inDevices],
    ]);
    const drops = ends.map(([name, inside]) => {
      const [{ stats64 }] = JSON.parse(run([...inside, 'ip', '-j', '-s', 'link', 'show', name]));
      return stats64.tx.dropped;
    });
    return drops[0] + drops[1];
  }

  async stop() {
    for (const holder of this.#holders) {
      holder.stdin.end();
      await once(holder, 'exit');
    }
  }
}

/**
 * A process in a new namespace, which ends with its input.
 *
 * @param {string[]} command
 */
async function hold(command) {
  const holder = spawn('unshare', ['-n', ...command], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: withSbin,
  });
  const [line] = await Promise.race([
    once(createInterface(holder.stdout), 'line'),
    once(holder, 'exit').then(([code]) => Promise.reject(new Error(`${command[0]} ended with ${code}`))),
  ]);
  if (line !== 'ready') {
    throw new Error(`${command[0]}: ${line}`);
  }
  return holder;
}

/**
 * @param {string[]} inside the command that runs a program there
 * @param {string} device
 * @param {string[][]} steps
 */
function setUp(inside, device, steps) {
  // No address of IPv6, because the kernel would send packets for it.
  const links = [
    ['link', 'set', 'lo', 'up'],
    ['link', 'set', device, 'addrgenmode', 'none'],
    ['link', 'set', device, 'up'],
  ];
  for (const step of [...links, ...steps]) {
    run([...inside, 'ip', ...step]);
  }
}

/**
 * @param {string} device
 * @param {number} perMille
 */
function lossRules(device, perMille) {
  const loss = perMille > 0 ? [`iifname "${device}" numgen random mod 1000 < ${perMille} counter drop`] : [];
  const chain = ['chain in {', 'type filter hook input priority 0;', ...loss, '}'];
  return ['table inet bench {}', 'delete table inet bench', 'table inet bench {', ...chain, '}', ''].join('\n');
}
