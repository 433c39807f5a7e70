/**
 * Opens exchanges of protocol v2. A session can be opened if the recording has its opening, because the session keys follow from it
 * and from the key of the device.
 */
import { fingerprint } from '../keys/index.js';
import { decodeUtf8, readRequest, stripWhiteSpace } from '../protocol/index.js';
import {
  ALIVE,
  FLAGS_AT,
  type GrantFields,
  NORETURN_FLAG,
  NO_SESSION,
  type OpenFields,
  REPLY_KIND,
  SESSION_KEY_BYTES,
  createSessionCiphers,
  deriveSessionKeys,
  isOpenOf,
  isReplyTo,
  isRequestOf,
  keyIdOf,
  readCookie,
  readCtr,
  readGrant,
  readKeyId,
  readNonce,
  readOpen,
  readRequestTag,
  readSealed,
  readSessionId,
  readV2Reply,
  requestTagKeyIn,
  sessionIdOf,
  sessionSecretOf,
} from '../protocol/v2/index.js';
import type { DecodedExchange } from './decoded.js';
import { type DecodeFault, type DecodeFaultName, fault } from './opening.js';
import { type V2Datagram, type V2Exchange, type V2Step, isRefusal } from './steps-v2.js';

interface DeviceKey {
  readonly bytes: Uint8Array;
  readonly fingerprint: string;
  readonly keyId: string;
}

interface Opening {
  readonly key: DeviceKey;
  readonly open: OpenFields;
  grant: GrantFields | undefined;
}

interface Session {
  readonly key: DeviceKey;
  readonly id: string;
  /** As `deriveSessionKeys` writes them. */
  readonly keys: Buffer;
}

/** A request whose reply may follow. */
interface Asked {
  readonly session: Session;
  readonly ctr: number;
  readonly requestTag: string;
}

/** The contents of an exchange that could be opened. */
interface Findings {
  key: string | undefined;
  session: string | undefined;
  request: string | undefined;
  reply: string | undefined;
  readonly faults: DecodeFault[];
  readonly remarks: Map<V2Datagram, string>;
}

/** Opens the exchanges of a recording in their order: later ones need the openings of earlier ones. Bounded by the recording. */
export class V2Decoder {
  private readonly keys: readonly DeviceKey[];
  /** By the nonce of the device. */
  private readonly openings = new Map<string, Opening>();
  /** By the session id, as Latin-1. */
  private readonly sessions = new Map<string, Session>();

  /** @param keys of devices, 32 bytes each. */
  constructor(keys: readonly Uint8Array[]) {
    this.keys = keys.map((bytes) => ({ bytes, fingerprint: fingerprint(bytes), keyId: keyIdOf(bytes) }));
  }

  /** Overwrites the session keys. */
  dispose(): void {
    this.sessions.forEach(({ keys }) => keys.fill(0));
    this.sessions.clear();
  }

  decode({ conversation, datagrams }: V2Exchange): DecodedExchange {
    const found: Findings = {
      key: undefined,
      session: undefined,
      request: undefined,
      reply: undefined,
      faults: [],
      remarks: new Map(),
    };
    let opening: Opening | undefined;
    let asked: Asked | undefined;
    for (const each of datagrams) {
      const { step, datagram, copyOf } = each;
      const { bytes } = datagram;
      if (copyOf !== undefined) {
        found.remarks.set(each, `copy of ${copyOf}`);
      } else if (datagram.isCut) {
        found.faults.push(fault('cut-off', step));
      } else if (step === 'open') {
        opening = this.readOpen(each, found);
      } else if (step === 'grant') {
        this.readGrant(each, opening, found);
      } else if (step === 'first' || step === 'further') {
        asked = this.readRequest(step, bytes, found);
      } else if (step === 'reply') {
        this.readReply(each, asked, found);
      } else {
        found.remarks.set(each, 'the server does not know the session, or this is a forgery');
      }
    }
    const { remarks, faults, ...opened } = found;
    const request = datagrams.find(({ step }) => step === 'first' || step === 'further');
    return {
      protocol: 'v2',
      conversation,
      at: datagrams[0]?.datagram.at,
      steps: datagrams.map((each) => ({
        step: each.step,
        sender: each.sender,
        bytes: each.datagram.bytes.length,
        place: each.datagram.place,
        at: each.datagram.at,
        remark: remarks.get(each),
      })),
      id: undefined,
      ...opened,
      noreturn: request && isNoreturn(request),
      faults: [...faults, ...missingSteps(datagrams)],
    };
  }

  private readOpen(each: V2Datagram, found: Findings): Opening | undefined {
    const { bytes } = each.datagram;
    const open = readOpen(bytes);
    if (!open.old.equals(NO_SESSION)) {
      found.remarks.set(each, `asks about session ${open.old.toString('hex')}`);
    }
    const key = this.findKey('open', bytes, found);
    if (key && !isOpenOf(key.bytes, bytes)) {
      found.faults.push(fault('bad-tag', 'open'));
      return undefined;
    }
    const opening = key && { key, open, grant: undefined };
    if (opening) {
      found.key = opening.key.fingerprint;
      this.openings.set(open.nd.toString('latin1'), opening);
    }
    return opening;
  }

  private readGrant(each: V2Datagram, opening: Opening | undefined, found: Findings): void {
    if (!opening) {
      return;
    }
    const grant = readGrant(opening.key.bytes, each.datagram.bytes, opening.open);
    if (!grant) {
      found.faults.push(fault('bad-tag', 'grant'));
      return;
    }
    opening.grant = grant;
    if (!opening.open.old.equals(NO_SESSION)) {
      const quiet = `has run nothing for ${grant.quiet} ms`;
      found.remarks.set(each, `that session ${grant.quiet === ALIVE ? 'is alive' : quiet}`);
    }
  }

  private readRequest(step: 'first' | 'further', bytes: Buffer, found: Findings): Asked | undefined {
    const session = step === 'first' ? this.openSession(bytes, found) : this.findSession(bytes);
    if (!session) {
      if (this.keys.length > 0 && !found.faults.some((each) => each.step === step)) {
        found.faults.push(fault('no-session', step));
      }
      return undefined;
    }
    found.key = session.key.fingerprint;
    found.session = session.id;
    if (!isRequestOf(requestTagKeyIn(session.keys), bytes)) {
      found.faults.push(fault('bad-tag', step));
      return undefined;
    }
    const ctr = step === 'first' ? 1 : readCtr(bytes);
    const { texts } = createSessionCiphers(session.keys).requests;
    const opened = readRequest(texts.open(ctr, readSealed(bytes, FLAGS_AT[step])));
    found.request = opened.text;
    if ('reason' in opened) {
      found.faults.push(fault(opened.reason, step, opened.text === undefined ? undefined : opened.error.message));
    }
    return { session, ctr, requestTag: readRequestTag(bytes) };
  }

  /** The session that a REQ1 opens, from its opening in the recording. */
  private openSession(bytes: Buffer, found: Findings): Session | undefined {
    const nd = readNonce(bytes);
    const ck = readCookie(bytes);
    const opening = this.openings.get(nd.toString('latin1'));
    if (!opening?.grant) {
      this.findKey('first', bytes, found);
      return undefined;
    }
    const { key, grant } = opening;
    const secret = sessionSecretOf(key.bytes, { nd, ck, ns: grant.ns });
    const id = sessionIdOf(secret, ck);
    const keys = Buffer.alloc(SESSION_KEY_BYTES);
    deriveSessionKeys(secret, keys);
    secret.fill(0);
    const session = { key, id: id.toString('hex'), keys };
    const name = id.toString('latin1');
    // Another REQ1 of the same opening.
    this.sessions.get(name)?.keys.fill(0);
    this.sessions.set(name, session);
    return session;
  }

  private findSession(bytes: Buffer): Session | undefined {
    return this.sessions.get(readSessionId(bytes).toString('latin1'));
  }

  private findKey(step: 'open' | 'first', bytes: Buffer, { faults }: Findings): DeviceKey | undefined {
    const keyId = readKeyId(bytes, step);
    const key = this.keys.find((each) => each.keyId === keyId);
    if (!key && this.keys.length > 0 && !faults.some((each) => each.fault === 'other-key-id')) {
      faults.push(fault('other-key-id', step));
    }
    return key;
  }

  private readReply(each: V2Datagram, asked: Asked | undefined, found: Findings): void {
    const { bytes } = each.datagram;
    if (bytes[FLAGS_AT.reply] === REPLY_KIND.acknowledgement) {
      found.remarks.set(each, 'acknowledged');
    } else if (isRefusal(each)) {
      found.remarks.set(each, 'refused: the request did not run');
    }
    if (!asked) {
      return;
    }
    const { replies } = createSessionCiphers(asked.session.keys);
    if (!isReplyTo(asked, bytes, replies.tagKey())) {
      found.faults.push(fault('bad-tag', 'reply'));
      return;
    }
    const { kind, ciphertext } = readV2Reply(bytes);
    if (kind === REPLY_KIND.reply) {
      found.reply = decodeUtf8(stripWhiteSpace(replies.texts.open(asked.ctr, ciphertext)));
      if (found.reply === undefined) {
        found.faults.push(fault('bad-utf8', 'reply'));
      }
    }
  }
}

function isNoreturn({ step, datagram }: V2Datagram): boolean {
  return (datagram.bytes[step === 'first' ? FLAGS_AT.first : FLAGS_AT.further]! & NORETURN_FLAG) !== 0;
}

/** The datagram that the device still expected. */
function missingSteps(datagrams: readonly V2Datagram[]): DecodeFault[] {
  const last = datagrams.findLast(({ copyOf }) => copyOf === undefined)!;
  const missing: Readonly<Record<V2Step, DecodeFaultName | undefined>> = {
    open: 'no-answer',
    grant: 'no-request',
    first: 'no-reply',
    further: 'no-reply',
    reply: isRefusal(last) ? 'refused' : undefined,
    again: 'no-reply',
  };
  const name = missing[last.step];
  return name === undefined ? [] : [fault(name, last.step)];
}
