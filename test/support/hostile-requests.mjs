/** Requests of a key holder that once ended a handler, a process or a loop. The tests of all samples send them. */

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

const DATA = [
  'None',
  '{(1, 2): 3}',
  "{'__proto__': {'x': 1}}",
  '1180591620717411303424',
  `1${'0'.repeat(400)}`,
  String.raw`b'\x00'`,
  '{1, 2}',
  '[[[[]]]]',
  "{'temperature': nan, 'humidity': inf}",
  "{'temperature': 1180591620717411303424}",
  "{'number': {(1,): b'x'}}",
  String.raw`'\x00\ud800'`,
  "{b'k': [{1: set()}]}",
];

const METADATA = [
  `{'traceparent': '${TRACEPARENT}', 'tracestate': [{}]}`,
  `{'traceparent': ['${TRACEPARENT}'], 'tracestate': 'a=b'}`,
  "{'traceparent': {'x': 1}, b'bytes': b'', (1, 2): 3}",
  `{'__proto__': {'traceparent': '${TRACEPARENT}'}, 'constructor': None}`,
  '[1]',
];

/**
 * The texts of the requests, for each of these actions.
 *
 * @param {readonly string[]} actions
 * @returns {string[]}
 */
export function hostileRequests(actions) {
  return actions.flatMap((action) => [
    ...METADATA.map((metadata) => `{'action': '${action}', 'data': {}, 'meta': ${metadata}}`),
    ...DATA.map((data) => `{'action': '${action}', 'data': ${data}}`),
  ]);
}

/**
 * Sends them, each from a board of its own, because one may leave something unread, and each also without waiting for a reply.
 *
 * @param {readonly string[]} actions
 * @param {() => Promise<{ exchange(text: string, noreturn?: boolean): Promise<unknown>, close(): Promise<void> }>} startBoard
 */
export async function sendHostileRequests(actions, startBoard) {
  for (const text of hostileRequests(actions)) {
    for (const noreturn of [false, true]) {
      const board = await startBoard();
      await board.exchange(text, noreturn).catch(() => undefined);
      await board.close();
    }
  }
}
