/**
 * Describes decisions for the debug log, without anything that the datagram contains.
 */
import { printableName } from '../printable.js';
import { type Decision, REJECTIONS } from '../exchange/index.js';

export function describeDecision(decision: Decision): string {
  switch (decision.kind) {
    case 'pair':
      return `hello answered with ${decision.datagrams.length === 1 ? 'half a pair' : 'a pair'}`;
    case 'grant':
      return 'opening answered';
    case 'resent':
      return 'copy of a request: its reply is sent again';
    case 'request':
      return `request accepted${describeDevice(decision.request.device)}`;
    case 'searching':
      return 'its key is searched for';
    case 'rejected':
      return `rejected${describeDevice(decision.device)}: ${decision.reason}, ${REJECTIONS[decision.reason]}`;
  }
}

function describeDevice(device: string | undefined): string {
  return device === undefined ? '' : ` from ${printableName(device)}`;
}
