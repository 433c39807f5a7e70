/** The server's bytes without a server: a test gives them to the sockets of a client, and reads the answers. */
import type { EnvelopeFault } from '../../lib/protocol/index.js';
import { Sealer, digest, parseEnvelope, unpad } from '../../lib/protocol/index.js';

export const SERVER = { address: '10.0.0.1', port: 8585 };

export class ScriptedServer {
  readonly sealer: Sealer;

  /** @param key of 32 bytes, not the contents of a key file. */
  constructor(
    key: Buffer,
    readonly id = '7925932659',
  ) {
    this.sealer = new Sealer(key);
  }

  /** Datagrams 2 and 3. */
  pair(): [ciphertext: Buffer, iv: Buffer] {
    const { ciphertext, iv } = this.sealer.seal(this.id);
    return [ciphertext, iv];
  }

  /** The text in datagram 4, if its hash fits the id. */
  open(datagram: Buffer): string | EnvelopeFault | 'bad-hash' {
    const envelope = parseEnvelope(datagram);
    if (typeof envelope === 'string') {
      return envelope;
    }
    const { hash, data, iv } = envelope;
    const isRight = digest(Buffer.from(this.id), data, iv).equals(hash);
    return isRight ? unpad(this.sealer.open(data, iv))!.toString() : 'bad-hash';
  }

  /** Datagrams 5 to 7. */
  reply(text: string): [hash: Buffer, iv: Buffer, ciphertext: Buffer] {
    const { ciphertext, iv } = this.sealer.seal(text);
    return [digest(Buffer.from(this.id), ciphertext, iv), iv, ciphertext];
  }
}
