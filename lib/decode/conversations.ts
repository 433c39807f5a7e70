/**
 * Which of the datagrams of a capture are BenCommunication, and who is the device.
 */
import { DEFAULT_PORT } from '../constants.js';
import { formatEndpoint } from '../format-endpoint.js';
import { isHello, looksLikeEnvelope } from '../protocol/index.js';
import type { CapturedDatagram } from './capture.js';
import type { RecordedDatagram, Sender } from './recording.js';

interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** What two endpoints said to each other. */
interface Conversation {
  readonly datagrams: CapturedDatagram[];
  /** Who said hello or sent a request, by its name. */
  device: string | undefined;
}

/**
 * Sorts out the conversations of a capture, in their order of appearance, with what is not BenCommunication left out.
 *
 * @param port the server's. By default a conversation counts where somebody says hello or sends a request, or where the port is 8585.
 */
export function findConversations(captured: readonly CapturedDatagram[], port?: number): RecordedDatagram[] {
  const conversations = new Map<string, Conversation>();
  for (const datagram of captured) {
    const { source, payload } = datagram;
    const key = nameConversation(datagram);
    const conversation = conversations.get(key) ?? { datagrams: [], device: undefined };
    conversations.set(key, conversation);
    conversation.datagrams.push(datagram);
    if (isHello(payload) || looksLikeEnvelope(payload)) {
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

function senderOf(name: string, device: string | undefined): Sender | undefined {
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
