import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as exchange from '#lib/exchange/index.js';
import * as lib from '#lib/index.js';
import * as keys from '#lib/keys/index.js';
import * as protocol from '#lib/protocol/index.js';
import * as testing from '#lib/testing/index.js';
import { replay } from './fuzz.mjs';
import { TARGETS, createTarget } from './targets/index.mjs';

const built = { ...lib, ...keys, ...exchange, ...protocol, ...testing };

const INPUTS = 5;

describe.each(Object.keys(TARGETS))('the fuzz target %s', (name) => {
  it('replays kept inputs alone, as a run had them', async () => {
    const folder = new URL(`corpus/${name}/`, import.meta.url);
    for (const file of readdirSync(folder).toSorted().slice(0, INPUTS)) {
      const { inputs, breaches } = await replay(createTarget(name, built, 1), readFileSync(new URL(file, folder)));
      expect({ file, inputs, breaches }).toEqual({ file, inputs: 1, breaches: [] });
    }
  });
});
