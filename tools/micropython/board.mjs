/**
 * A board with a real interpreter: the MicroPython VM runs sample/device/benclient.py or device/ben2.py in a thread of its own. Plain JavaScript,
 * because the sample runs it without a build.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MessageChannel, Worker } from 'node:worker_threads';
import { CELL_COUNT, RESULT, UNREAD } from './cells.mjs';

const VM_PACKAGE = '@micropython/micropython-webassembly-pyscript';

/**
 * Errno values, the same in MicroPython on every platform.
 *
 * @type {Record<string, number>}
 */
const ERRNO = { EPERM: 1, EIO: 5, EACCES: 13, EINVAL: 22, EADDRINUSE: 98, EADDRNOTAVAIL: 99, ENETUNREACH: 101 };

const DEFAULTS = {
  host: '127.0.0.1',
  timeoutMs: 10_000,
  bufferSize: 4096,
  localAddress: '127.0.0.1',
  localPort: 0,
  receiveSlots: 256,
  program: /** @type {const} */ ('benclient'),
  vmFolder: dirname(createRequire(import.meta.url).resolve(`${VM_PACKAGE}/micropython.wasm`)),
};

/**
 * @typedef {object} MicroPythonBoardOptions
 * @property {Uint8Array} key the contents of the key file on the board.
 * @property {number} port of the server.
 * @property {string} [host] of the server. Default `127.0.0.1`.
 * @property {number} [timeoutMs] to wait for each datagram. Default 10000, as upstream.
 * @property {number} [bufferSize] bytes it can receive; longer datagrams are cut off. Default 4096, as upstream.
 * @property {string} [localAddress] its own address; any of 127.0.0.0/8 is a board of its own. Default `127.0.0.1`.
 * @property {number} [localPort] its own port, which overrides that of the device program. Default 0, any free one.
 * @property {number} [receiveSlots] unread datagrams its socket holds; further ones are dropped. Default 256; 1 is a board with
 * MicroPython before 1.26 on lwIP.
 * @property {readonly ('hash' | 'data' | 'iv')[]} [keyOrder] of the envelope. Default the order of the VM, which is the same at
 * every start.
 * @property {'benclient' | 'ben2'} [program] that speaks for it: protocol v1 or v2. Default `benclient`.
 * @property {Buffer} [rtcMemory] for `ben2`: the contents of its RTC memory, which it keeps its session in. `rtc` in `__main__` holds it.
 * Default: it has none.
 * @property {string} [vmFolder] the folder of another release of the VM's package. Default the one that is installed here.
 */

/**
 * The types of Node 20 lack it.
 *
 * @typedef {object} Assembly
 * @property {(code: Uint8Array) => Promise<object>} compile
 * @property {(code: object, imports: object) => Promise<object>} instantiate
 */
const { WebAssembly } = /** @type {{ WebAssembly: Assembly }} */ (/** @type {unknown} */ (globalThis));

/** @type {Map<string, Promise<object>>} */
const compiledVms = new Map();

/**
 * The VM's code, compiled once for all boards of this process.
 *
 * @param {string} folder
 */
function compileVm(folder) {
  const compiled =
    compiledVms.get(folder) ?? readFile(join(folder, 'micropython.wasm')).then((bytes) => WebAssembly.compile(bytes));
  compiledVms.set(folder, compiled);
  return compiled;
}

/** An exception of the device program. `message` is Python's traceback; its last line has the type and the text. */
export class PythonError extends Error {
  /** @override */
  name = 'PythonError';

  /**
   * @param {string} type the name of the exception's class, such as `OSError`.
   * @param {string} traceback
   */
  constructor(type, traceback) {
    super(traceback);
    this.type = type;
  }
}

/** A board whose interpreter is the real MicroPython. */
export class MicroPythonBoard {
  #options;
  #worker;
  /** @type {import('node:dgram').Socket | undefined} */
  #socket;
  #port;
  #cells = new Int32Array(new SharedArrayBuffer(CELL_COUNT * Int32Array.BYTES_PER_ELEMENT));
  /** @type {Map<number, { resolve: (result: string) => void, reject: (error: Error) => void }>} */
  #commands = new Map();
  #lastCommand = 0;
  /** @type {Error | undefined} */
  #failure;
  /** @type {import('node:net').AddressInfo | undefined} */
  #address;
  version = '';
  dropped = 0;

  /**
   * A board that has booted: `client` in its `__main__` has its socket bound.
   *
   * @param {MicroPythonBoardOptions} options
   * @throws PythonError if the device program could not start.
   */
  static async start(options) {
    const board = new MicroPythonBoard(
      { ...DEFAULTS, ...options },
      await compileVm(options.vmFolder ?? DEFAULTS.vmFolder),
    );
    try {
      board.version = await board.#whenDone(0);
    } catch (error) {
      await board.close();
      throw error;
    }
    return board;
  }

  /**
   * @param {Omit<typeof DEFAULTS, 'program'> & MicroPythonBoardOptions} options
   * @param {object} wasm
   */
  constructor(options, wasm) {
    this.#options = options;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const vmUrl = pathToFileURL(join(options.vmFolder, 'micropython.mjs')).href;
    this.#worker = new Worker(new URL('worker.mjs', import.meta.url), {
      // The owner's own flags may be meant for its test runner.
      execArgv: [],
      workerData: { options, vmUrl, wasm, cells: this.#cells, datagrams: port2 },
      transferList: [port2],
    });
    this.#worker.on('message', (message) => this.#receiveMessage(message));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('the board is closed')));
  }

  get address() {
    if (!this.#address) {
      throw new Error('the board has no socket yet');
    }
    return this.#address;
  }

  get leftovers() {
    return Atomics.load(this.#cells, UNREAD);
  }

  /**
   * Runs Python in `__main__` of the board. Calls run one after the other.
   *
   * @param {string} source
   * @returns {Promise<{ stdout: string }>}
   * @throws PythonError
   */
  run(source) {
    return this.#command('run', source).then((stdout) => ({ stdout }));
  }

  /**
   * One exchange: `client.send(<request>, noreturn=<noreturn>)`.
   *
   * @param {string} request Python source of the dict, so it can hold any value that Python has.
   * @returns {Promise<string>} the `repr` of the result, as MicroPython 1.27 prints it: ASCII, other characters escaped.
   * @throws PythonError `OSError` if a datagram did not come in time, `ValueError` if the reply does not verify.
   */
  send(request, { noreturn = false } = {}) {
    return this.#command('send', request, noreturn);
  }

  async close() {
    await this.#worker.terminate();
    await this.#closeSocket();
    this.#port.close();
  }

  /**
   * @param {'run' | 'send'} command
   * @param {...unknown} args
   * @returns {Promise<string>}
   */
  #command(command, ...args) {
    if (this.#failure) {
      return Promise.reject(this.#failure);
    }
    const id = ++this.#lastCommand;
    this.#worker.postMessage({ id, command, args });
    return this.#whenDone(id);
  }

  /**
   * @param {number} id of a command; 0 for the start
   * @returns {Promise<string>}
   */
  #whenDone(id) {
    return new Promise((resolve, reject) => this.#commands.set(id, { resolve, reject }));
  }

  /** @param {Error} error */
  #fail(error) {
    this.#failure ??= error;
    for (const { reject } of this.#commands.values()) {
      reject(this.#failure);
    }
    this.#commands.clear();
  }

  /** @param {import('./worker.mjs').Message} message */
  #receiveMessage(message) {
    if ('call' in message) {
      void this.#answerCall(message);
      return;
    }
    const { id } = message;
    const command = this.#commands.get(id);
    this.#commands.delete(id);
    if (message.error) {
      const { type, message: text } = message.error;
      command?.reject(type ? new PythonError(type, text) : new Error(text));
    } else {
      command?.resolve(message.result);
    }
  }

  /**
   * Runs the call of the device program, and wakes its thread.
   *
   * @param {import('./worker.mjs').Call} call
   */
  async #answerCall({ call, args }) {
    let code = 0;
    try {
      const run = /** @type {(...args: unknown[]) => Promise<unknown>} */ (this.#calls[call]);
      await run(...args);
    } catch (error) {
      code = ERRNO[/** @type {NodeJS.ErrnoException} */ (error).code ?? 'EIO'] ?? ERRNO.EIO;
    }
    Atomics.store(this.#cells, RESULT, code);
    Atomics.notify(this.#cells, RESULT);
  }

  /** The calls that the device program makes in the thread of its owner. */
  #calls = {
    bind: () => this.#bind(),
    sendTo: async (/** @type {string} */ hex, /** @type {string} */ host, /** @type {number} */ port) => {
      const socket = await this.#bind();
      /** @type {Promise<void>} */
      const sent = new Promise((resolve, reject) =>
        socket.send(Buffer.from(hex, 'hex'), port, host, (error) => (error ? reject(error) : resolve())),
      );
      await sent;
    },
    close: () => this.#closeSocket(),
  };

  async #bind() {
    if (this.#socket) {
      return this.#socket;
    }
    const { localAddress, localPort } = this.#options;
    const socket = createSocket('udp4');
    socket.bind(localPort, localAddress);
    try {
      await once(socket, 'listening');
    } catch (error) {
      socket.close();
      throw error;
    }
    socket.on('error', () => undefined);
    socket.on('message', (datagram, remote) => this.#store(datagram, remote));
    this.#socket = socket;
    this.#address = socket.address();
    return socket;
  }

  async #closeSocket() {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket) {
      socket.close();
      await once(socket, 'close');
    }
  }

  /**
   * @param {Buffer} datagram
   * @param {import('node:dgram').RemoteInfo} remote
   */
  #store(datagram, { address, port }) {
    if (this.leftovers >= this.#options.receiveSlots) {
      this.dropped++;
      return;
    }
    this.#port.postMessage({ address, port, hex: datagram.toString('hex') });
    Atomics.add(this.#cells, UNREAD, 1);
    Atomics.notify(this.#cells, UNREAD);
  }
}
