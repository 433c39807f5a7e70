/**
 * Debug lines on stderr, printed if `NODE_DEBUG` names `ben-udp`. A line names an endpoint and a
 * reason, never a key, an id or a payload. Check `enabled` before you build a line, so a datagram costs nothing without a reader.
 */
import { debuglog } from 'node:util';

export const debugLog = debuglog('ben-udp');
