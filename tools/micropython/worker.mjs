/**
 * The thread of one board: holds a MicroPython VM and runs the commands of the board's owner. A socket call of the device
 * program blocks this thread, as it blocks a board; the socket itself is on the owner's thread, because Node has no blocking one.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { openSync, readFileSync } from 'node:fs';
import { devNull } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { PENDING, RESULT, UNREAD } from './cells.mjs';

/**
 * @typedef {{ call: 'bind' | 'sendTo' | 'close', args: unknown[] }} Call for the owner's thread
 * @typedef {{ id: number, result: string, error?: undefined }} Result of a command
 * @typedef {{ id: number, error: { type?: string, message: string } }} Failure
 * @typedef {Call | Result | Failure} Message
 */

/** Errno values as MicroPython has them on every platform. */
const EAGAIN = 11;
const EMSGSIZE = 90;
const ETIMEDOUT = 110;

const MAX_DATAGRAM_BYTES = 65_507;

/** The modules that boards have and this build of the VM lacks. */
const MODULES = ['socket.py', 'cryptolib.py', 'boot.py'];

const PROGRAMS = {
  benclient: new URL('../../sample/device/benclient.py', import.meta.url),
  ben2: new URL('../../device/ben2.py', import.meta.url),
};

const { vmUrl, wasm, datagrams } = workerData;
/** @type {Int32Array} */
const cells = workerData.cells;
/** @type {Required<import('./board.mjs').MicroPythonBoardOptions>} */
const options = workerData.options;
const owner = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);

const { loadMicroPython } = await import(vmUrl);

// The VM of 1.20 looks for Ctrl+C on a descriptor that a thread's stdin does not have.
Object.assign(process.stdin, { fd: process.stdin.fd ?? openSync(devNull, 'r') });

// The VM's loader has no hook for a module that is compiled already, and compiling would be a third of every start.
const { WebAssembly } = /** @type {{ WebAssembly: import('./board.mjs').Assembly }} */ (
  /** @type {unknown} */ (globalThis)
);
const { instantiate } = WebAssembly;
WebAssembly.instantiate = async (/** @type {object} */ _bytes, /** @type {object} */ imports) => ({
  module: wasm,
  instance: await instantiate(wasm, imports),
});

/**
 * Blocks this thread while a cell holds a value; false if the time was up first. Looks again when woken, because a wake-up
 * may be late: the owner changes the cell and wakes in two steps, and this thread may have read the change in between.
 *
 * @param {number} cell
 * @param {number} value
 */
function waitWhile(cell, value, timeoutMs = Infinity) {
  const deadline = performance.now() + timeoutMs;
  while (Atomics.load(cells, cell) === value) {
    const left = deadline - performance.now();
    if (left <= 0) {
      return false;
    }
    Atomics.wait(cells, cell, value, left);
  }
  return true;
}

/**
 * Has the owner's thread do something, and waits: 0, or an errno.
 *
 * @param {Call['call']} name
 * @param {...unknown} args
 */
function call(name, ...args) {
  Atomics.store(cells, RESULT, PENDING);
  owner.postMessage({ call: name, args });
  waitWhile(RESULT, PENDING);
  return Atomics.load(cells, RESULT);
}

function takeDatagram() {
  const received = receiveMessageOnPort(datagrams);
  Atomics.sub(cells, UNREAD, 1);
  return received?.message;
}

/**
 * The functions that the modules call. Bytes cross as hex, because bytes and typed arrays can't. Nothing is thrown, because the VM
 * does not catch JavaScript's exceptions. Arguments are joined, because the VM of 1.20 passes two at most.
 */
const bridge = {
  bind: () => call('bind'),
  /** @param {string} joined */
  sendTo(joined) {
    const [host, port, hex] = joined.split(' ');
    return hex.length > 2 * MAX_DATAGRAM_BYTES ? EMSGSIZE : call('sendTo', hex, host, Number(port));
  },
  /**
   * An errno, or address, port and contents of the oldest datagram, of which `size` bytes are kept.
   *
   * @param {number} size
   * @param {number | null} timeoutMs
   */
  receive(size, timeoutMs) {
    if (!waitWhile(UNREAD, 0, timeoutMs ?? Infinity)) {
      return timeoutMs === 0 ? EAGAIN : ETIMEDOUT;
    }
    const { address, port, hex } = takeDatagram();
    return `${address} ${port} ${hex.slice(0, 2 * size)}`;
  },
  close() {
    const code = call('close');
    while (Atomics.load(cells, UNREAD) > 0) {
      takeDatagram();
    }
    return code;
  },
  seconds: () => Math.floor(Date.now() / 1000),
  random: (/** @type {number} */ size) => randomBytes(size).toString('hex'),
  /** @param {string} joined */
  aesCbc(joined) {
    const [direction, key, iv, data] = joined.split(' ');
    const create = direction === 'encrypt' ? createCipheriv : createDecipheriv;
    const cipher = create(`aes-${key.length * 4}-cbc`, Buffer.from(key, 'hex'), Buffer.from(iv, 'hex'));
    return cipher.setAutoPadding(false).update(data, 'hex', 'hex');
  },
};

/** @type {number[]} */
let stdout = [];
const vm = await loadMicroPython({
  linebuffer: false,
  url: fileURLToPath(new URL('micropython.wasm', vmUrl)),
  // The VM of 1.20 passes lines.
  stdout: (/** @type {string | Uint8Array} */ part) =>
    stdout.push(...(typeof part === 'string' ? Buffer.from(`${part}\n`) : part)),
  // It prints tracebacks too, on a stream that a thread does not have.
  stderr: () => undefined,
});

/** @param {string} source */
function run(source) {
  stdout = [];
  vm.runPython(source);
  return Buffer.from(stdout).toString('utf8');
}

function setUp() {
  vm.registerJsModule('_bridge', bridge);
  vm.FS.mkdirTree('/lib');
  for (const name of MODULES) {
    vm.FS.writeFile(`/lib/${name}`, readFileSync(new URL(name, import.meta.url)));
  }
  const { host, port, timeoutMs, bufferSize, program, keyOrder, rtcMemory } = options;
  vm.FS.writeFile(`/${program}.py`, readFileSync(PROGRAMS[program]));
  vm.FS.writeFile('/key.sec', options.key);
  run(`import boot, ${program}`);
  if (keyOrder) {
    run(orderEnvelopes(keyOrder));
  }
  if (rtcMemory !== undefined) {
    run(keepRtcMemory(rtcMemory));
  }
  const more = rtcMemory === undefined ? '' : ', rtc=rtc';
  run(
    `client = ${program}.client(${pythonString(host)}, ${port}, timeout=${timeoutMs / 1000}, buffersize=${bufferSize}${more})`,
  );
  return run('import sys; print(".".join(str(part) for part in sys.implementation.version[:3]))').trim();
}

/**
 * `machine.RTC`, as far as its memory goes.
 *
 * @param {Uint8Array} contents
 */
function keepRtcMemory(contents) {
  return `
class _Rtc:
    def __init__(self, contents):
        self.contents = contents
    def memory(self, contents=None):
        if contents is None:
            return self.contents
        self.contents = bytes(contents)
rtc = _Rtc(bytes.fromhex(${pythonString(Buffer.from(contents).toString('hex'))}))
`;
}

/**
 * The order of a dict's keys is the VM's own affair and the same at every start. For another one the client's `str` prints an
 * envelope by way of an OrderedDict: still MicroPython's printer, all of it.
 *
 * @param {readonly string[]} keys
 */
function orderEnvelopes(keys) {
  return `
from collections import OrderedDict
def _str(value):
    if not (isinstance(value, dict) and set(value) == {"hash", "data", "iv"}):
        return str(value)
    text = str(OrderedDict([(key, value[key]) for key in (${keys.map(pythonString).join(', ')})]))
    return text[len("OrderedDict("):-1]
benclient.str = _str
`;
}

/**
 * JSON's escapes are Python's too.
 *
 * @param {string} text
 */
function pythonString(text) {
  return JSON.stringify(text);
}

/**
 * @typedef {{ command: 'run', args: [source: string] } | { command: 'send', args: [request: string, noreturn: boolean] }} Command
 *
 * @param {Command} message
 */
function execute({ command, args }) {
  if (command === 'run') {
    return run(...args);
  }
  const [request, noreturn] = args;
  return run(`print(repr(client.send((${request}\n), noreturn=${noreturn ? 'True' : 'False'})), end="")`);
}

/**
 * The message of a PythonError is Python's traceback. The VM of 1.20 names the type in its last line alone.
 *
 * @param {{ type?: string, message: string }} error
 */
function toPythonError({ type, message }) {
  const traceback = String(message).trimEnd();
  return { type: type ?? /(?:^|\n)(\w+)(?:: .*)?$/.exec(traceback)?.[1], message: traceback };
}

/**
 * @param {number} id
 * @param {() => string} work
 */
function answer(id, work) {
  try {
    owner.postMessage({ id, result: work() });
  } catch (error) {
    owner.postMessage({ id, error: toPythonError(/** @type {Error & { type?: string }} */ (error)) });
  }
}

owner.on('message', (/** @type {Command & { id: number }} */ message) => answer(message.id, () => execute(message)));
answer(0, setUp);
