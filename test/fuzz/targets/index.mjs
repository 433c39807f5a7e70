/** All targets that are functions of their input; `app.mjs` is the one that is not. */
import { createEnvelopeTarget } from './envelope.mjs';
import { createExchangeTarget } from './exchange.mjs';
import { createStrangerTarget } from './stranger.mjs';
import { createKeysTarget } from './keys.mjs';
import { createPythonTextTarget } from './python-text.mjs';
import { createReplyTarget } from './reply.mjs';
import { createRequestTarget } from './request.mjs';
import { createV2Target } from './v2.mjs';

export const TARGETS = {
  stranger: createStrangerTarget,
  envelope: createEnvelopeTarget,
  'python-text': createPythonTextTarget,
  request: createRequestTarget,
  exchange: createExchangeTarget,
  reply: createReplyTarget,
  keys: createKeysTarget,
  v2: createV2Target,
};
