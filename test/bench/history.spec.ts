import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readHistory, record } from '../../bench/support/history.mjs';
import { temporaryFolder } from '../support/temporary-folder.js';

/** A folder of kept counts: by release, the commits. */
async function keep(releases: Record<string, readonly string[]>): Promise<string> {
  const folder = join(await temporaryFolder(), 'history');
  await mkdir(folder);
  for (const [release, commits] of Object.entries(releases)) {
    const entries = commits.map((commit) => ({ commit, date: '2026-01-31', node: 'v20.0.0', counts: {} }));
    await writeFile(join(folder, `${release}.json`), JSON.stringify(entries));
  }
  return folder;
}

const commitsIn = (folder: string) => readHistory(folder).map(({ commit }) => commit);

describe('readHistory', () => {
  it('goes through all releases, the oldest first', async () => {
    const folder = await keep({ '0.10.0': ['e'], '0.9.0': ['c', 'd'], '0.2.0': ['a', 'b'] });
    expect(commitsIn(folder)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('reads the counts that this repository keeps', () => {
    expect(readHistory().at(-1)?.counts).toMatchObject({ reply: { 'datagrams sent': 5 }, v2: { 'datagrams sent': 1 } });
  });
});

describe('record', () => {
  it('adds the counts to those of the release', async () => {
    const folder = await keep({ '0.9.0': ['a'], '0.10.0': ['b'] });
    record({ reply: { 'datagrams sent': 5 } }, { folder, version: '0.10.0', commit: 'c' });
    expect(commitsIn(folder)).toEqual(['a', 'b', 'c']);
    expect(readHistory(folder)[2]).toMatchObject({ node: process.version, counts: { reply: { 'datagrams sent': 5 } } });
  });

  it('begins the file of a new release', async () => {
    const folder = await keep({ '0.9.0': ['a'] });
    record({}, { folder, version: '0.10.0', commit: 'b' });
    expect(commitsIn(folder)).toEqual(['a', 'b']);
  });

  it('keeps only the last counts of a commit', async () => {
    const folder = await keep({ '0.9.0': ['a', 'b'] });
    record({ v2: { 'datagrams sent': 1 } }, { folder, version: '0.9.0', commit: 'a' });
    expect(commitsIn(folder)).toEqual(['b', 'a']);
  });
});
