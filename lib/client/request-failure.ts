/** Describes a failed request: what happened, and how far it came. */
import {
  type BenUdpErrorCode,
  BenUdpRequestError,
  type BenUdpRequestFacts,
  type BenUdpRequestStep,
} from '../errors.js';
import { formatEndpoint } from '../format-endpoint.js';

export const CLOSED = ['BEN_CLOSED', 'the client was closed'] as const;
export const NO_LISTENER = 'no program listens on that port';

/** Wait before the second attempt after a refusal. Doubles with each attempt, up to the timeout of the request. */
export const REFUSED_DELAY_MS = 100;

/** Longest excerpt of a pattern in a message. */
const MAX_QUOTED_PATTERN = 100;

/** The last step of a request, for messages. */
const STEPS: Readonly<Record<BenUdpRequestStep, string>> = {
  waiting: 'nothing was sent',
  hello: 'the hello was sent, no id arrived',
  id: 'half of the id arrived',
  request: 'the request was sent, no reply arrived',
  reply: 'part of a reply arrived',
};

export function delayAfterRefusal(attempts: number, timeoutMs: number): number {
  return Math.min(timeoutMs, REFUSED_DELAY_MS * 2 ** (attempts - 1));
}

export function describeFailure(
  code: BenUdpErrorCode,
  reason: string,
  { host, port }: { readonly host: string; readonly port: number },
  facts: Omit<BenUdpRequestFacts, 'peer'>,
  cause?: Error,
): BenUdpRequestError {
  const { pattern, step, attempts } = facts;
  const quoted = JSON.stringify(pattern.slice(0, MAX_QUOTED_PATTERN));
  return new BenUdpRequestError(
    code,
    `${quoted} to ${formatEndpoint(host, port)} failed: ${reason} (attempt ${attempts}: ${STEPS[step]})`,
    { ...facts, peer: { host, port } },
    cause && { cause },
  );
}
