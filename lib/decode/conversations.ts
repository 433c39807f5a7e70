/**
 * Finds the conversations of BenCommunication in a capture, and the device of each.
 */
import { DEFAULT_PORT } from '../constants.js';
import { formatEndpoint } from '../format-endpoint.js';
import { isHello, looksLikeEnvelope } from '../protocol/index.js';
import type { CapturedDatagram } from './capture.js';
import type { RecordedDatagram, RecordedSender } from './recording.js';
import { isV2OfDevice } from './steps-v2.js';

interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** The datagrams between two endpoints. */
interface Conversation {
  readonly datagrams: CapturedDatagram[];
  /** Name of the endpoint that sent a hello or a request. */
  device: string | undefined;
}

/**
 * The datagrams of BenCommunication by conversation, in order of appearance.
 *
 * @param port of the server. By default, a conversation needs a hello, a request, or the port 8585.
 */
export function findConversations(captured: readonly CapturedDatagram[], port?: number): RecordedDatagram[] {
  const conversations = new Map<string, Conversation>();
  for (const datagram of captured) {
    const { source, payload } = datagram;
    const key = nameConversation(datagram);
    const conversation = conversations.get(key) ?? { datagrams: [], device: undefined };
    conversations.set(key, conversation);
    conversation.datagrams.push(datagram);
    if (isHello(payload) || looksLikeEnvelope(payload) || isV2OfDevice(payload)) {
      conversation.device ??= nameEndpoint(source);
    }
  }
  return [...conversations.values()]
    .filter(({ datagrams, device }) =>
      port === undefined ? device !== undefined || hasPort(datagrams[0]!, DEFAULT_PORT) : hasPort(datagrams[0]!, port),
    )
    .flatMap(toRecorded);
}

function toRecorded({ datagrams, device: asking }: Conversation): RecordedDatagram[] {
  const [{ source, destination }] = datagrams as [CapturedDatagram];
  const one = nameEndpoint(source);
  const other = nameEndpoint(destination);
  const device = asking ?? (source.port === DEFAULT_PORT && destination.port !== DEFAULT_PORT ? other : undefined);
  const conversation = device === other ? `${other} > ${one}` : `${one} > ${other}`;
  return datagrams.map(({ source: from, payload, number, at, isCut }) => ({
    bytes: payload,
    sender: senderOf(nameEndpoint(from), device),
    conversation,
    place: `packet ${number}`,
    at,
    isCut,
  }));
}

function senderOf(name: string, device: string | undefined): RecordedSender | undefined {
  return device === undefined ? undefined : name === device ? 'device' : 'server';
}

function nameConversation({ source, destination }: CapturedDatagram): string {
  return [nameEndpoint(source), nameEndpoint(destination)].toSorted().join('|');
}

function nameEndpoint({ address, port }: Endpoint): string {
  return formatEndpoint(address, port);
}

function hasPort({ source, destination }: CapturedDatagram, port: number): boolean {
  return source.port === port || destination.port === port;
}
