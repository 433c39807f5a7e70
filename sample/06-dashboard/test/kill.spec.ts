/** Killed in the middle of writing, again and again: no acknowledged reading is lost, and the database opens. */
import { describe, it } from 'vitest';
import type { Line } from '../src/database/store.js';
import { App } from './support/app.js';
import { DATABASES, createDatabase, isMissing } from './support/databases.js';

/** `.ci/long` kills it 20 times. */
const KILLS = process.env['DASHBOARD_LONG'] === undefined ? 2 : 20;
const BOARDS = ['a', 'b', 'c', 'd', 'e', 'f'];
/** Acknowledged in each life of the app; it is killed while the next ones are on their way. */
const ENOUGH = 30;

describe.each(DATABASES)('%s', { concurrent: true }, (kind) => {
  it.skipIf(isMissing(kind))(
    `loses nothing that it acknowledged, killed ${KILLS} times under load`,
    { timeout: 600_000 },
    async ({ expect, onTestFinished }) => {
      const database = await createDatabase(kind);
      const app = await App.start({ database, boards: BOARDS });
      onTestFinished(async () => {
        await app.end();
        await database.remove();
      });
      const from = Date.now() - 1000;
      const acknowledged: number[] = [];
      let number = 0;
      for (let life = 0; life < KILLS; life++) {
        const goal = acknowledged.length + ENOUGH;
        const exited = new Promise((resolve) => app.process.once('exit', resolve));
        const kill = (): boolean => acknowledged.length >= goal && app.process.kill('SIGKILL');
        await Promise.all(
          BOARDS.map(async (name) => {
            const board = await app.board(name, { timeout: 500 });
            for (let isAlive = true; isAlive;) {
              const value = ++number;
              isAlive = await board.send({ action: 'report', data: { value } }).then(
                () => true,
                () => false,
              );
              if (isAlive) {
                acknowledged.push(value);
                kill();
              } else if (acknowledged.length < goal) {
                isAlive = true;
              }
            }
          }),
        );
        await exited;
        await app.closeBoards();
        await app.restart();
      }
      await app.logIn();
      const stored = new Set<number>();
      for (const name of BOARDS) {
        // A bucket for each millisecond would be too many: so ask for parts.
        for (const value of await readAll(app, name, from)) {
          stored.add(value);
        }
      }
      expect(acknowledged.length).toBeGreaterThanOrEqual(KILLS * ENOUGH);
      expect(acknowledged.filter((value) => !stored.has(value))).toEqual([]);
    },
  );
});

/** Every reading of a board: zooms in if a bucket has more than one. */
async function readAll(app: App, board: string, from: number, to = Date.now() + 1000): Promise<number[]> {
  const points = Math.min(2000, to - from);
  const [line] = await app.get<Line[]>(`/api/history?boards=${board}&from=${from}&to=${to}&points=${points}`);
  const width = (to - from) / points;
  const values: number[] = [];
  for (const [index, low] of line!.lows.entries()) {
    if (low === line!.highs[index]) {
      values.push(low);
    } else {
      const begin = Math.floor(line!.times[index]!);
      values.push(...(await readAll(app, board, begin, begin + Math.ceil(width) + 1)));
    }
  }
  return values;
}
