import type { AddressInfo } from 'node:net';

export interface MicroPythonBoardOptions {
  /** What the key file on the board holds. */
  key: Uint8Array;
  /** The server's port. */
  port: number;
  /** The server's address. Default `127.0.0.1`. */
  host?: string;
  /** Milliseconds to wait for each datagram. Default 10000, as upstream. */
  timeoutMs?: number;
  /** Bytes it can receive; longer datagrams are cut off. Default 4096, as upstream. */
  bufferSize?: number;
  /** Its own address; any of 127.0.0.0/8 is a board of its own. Default `127.0.0.1`. */
  localAddress?: string;
  /** Its own port, whatever the device program binds. Default 0, any free one. */
  localPort?: number;
  /** Unread datagrams its socket holds; further ones are dropped. Default 256; 1 is a board with MicroPython before 1.26 on lwIP. */
  receiveSlots?: number;
  /** Order of the envelope's keys. Default the VM's own, which is the same at every start. */
  keyOrder?: readonly ('hash' | 'data' | 'iv')[];
}

/** An exception of the device program; `message` is Python's traceback, its last line the type and the text. */
export class PythonError extends Error {
  private constructor();
  /** The name of the exception's class, such as `OSError`. */
  readonly type: string;
}

/** A board whose interpreter is the real MicroPython, running sample/device/benclient.py in a thread of its own. */
export class MicroPythonBoard {
  private constructor();

  /**
   * A board that has booted: `client` in its `__main__` has its socket bound.
   *
   * @throws PythonError where the device program could not start.
   */
  static start(options: MicroPythonBoardOptions): Promise<MicroPythonBoard>;

  /** The interpreter's version, such as `1.27.0`. */
  readonly version: string;
  /** The board's own address and port, as the server sees them. */
  readonly address: AddressInfo;
  /** Datagrams that arrived and were not read; they spoil the next exchange. */
  readonly leftovers: number;
  /** Datagrams that found no free receive slot. */
  readonly dropped: number;

  /**
   * Runs Python in the board's `__main__`. What is asked of a board runs one after the other.
   *
   * @throws PythonError
   */
  run(source: string): Promise<{ stdout: string }>;

  /**
   * One exchange: `client.send(<request>, noreturn=<noreturn>)`.
   *
   * @param request Python source of the dict, so that it can hold any value that Python has.
   * @returns the `repr` of what came back, as MicroPython 1.27 prints it: ASCII, other characters escaped.
   * @throws PythonError `OSError` where a datagram did not come in time, `ValueError` where the reply does not verify.
   */
  send(request: string, options?: { noreturn?: boolean }): Promise<string>;

  /** Ends the thread, also in the midst of an exchange, and closes the socket. */
  close(): Promise<void>;
}
