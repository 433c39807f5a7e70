import { access } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { generateKeyFile } from 'nestjs-ben-udp';

/** Makes a key file if it does not exist, and prints that. */
export async function ensureKeyFile(path: string): Promise<void> {
  try {
    await access(path);
  } catch {
    const fingerprint = await generateKeyFile(path);
    console.log(`There was no key file, so a new one was made: ${path} (fingerprint ${fingerprint}).`);
  }
}

/** Prints one screen: how to copy the key and the client to a board, and the commands to type there. */
export function printHowToConnect({ address: bound, port }: AddressInfo, keyFile: string): void {
  const outside = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal);
  const address = bound === '0.0.0.0' ? outside?.address : bound;
  console.log(`
The server answers. In a second terminal, without a board:

    npm run device

With a board on USB (mpremote comes with "pip install mpremote"):

    mpremote cp ${keyFile} :key.sec
    mpremote cp sample/device/benclient.py :benclient.py
    mpremote repl

Then, when the board has joined your Wi-Fi, type there:

    from benclient import client
    board = client("${address ?? 'address of this machine'}", ${port})
    board.send({"action": "echo", "data": "hello"})
    board.send({"action": "temperature"})
    board.send({"action": "dhtsensor", "data": {"temperature": 30, "humidity": 50}}, noreturn=True)
    board.send({"action": "latest"})

The key file is a secret: anybody who has it can speak for the board. Stop with Ctrl+C.
`);
}
