/** A process of the measurement, with boards that send requests without a pause. Environment: BEN_PORT, BEN_KEY_FILE, BOARDS, SECONDS. */
import { readFile } from 'node:fs/promises';
import { VirtualBoard } from 'nestjs-ben-udp/testing';

export interface BoardsReport {
  readonly answered: number;
  readonly failed: number;
  readonly seconds: number;
  readonly cpuMs: number;
}

const key = await readFile(process.env['BEN_KEY_FILE']!);
const port = Number(process.env['BEN_PORT']);
const count = Number(process.env['BOARDS']);
const seconds = Number(process.env['SECONDS']);

const boards = await Promise.all(
  Array.from({ length: count }, (_, index) =>
    // Each of 127.0.0.0/8 is this machine, so each board has an address of its own.
    VirtualBoard.start({ key, port, localAddress: `127.1.${index >> 8}.${index & 255}`, timeout: 2000 }),
  ),
);

let answered = 0;
let failed = 0;
const startedAt = performance.now();
const cpu = process.cpuUsage();

await Promise.all(
  boards.map(async (board, index) => {
    while (performance.now() - startedAt < seconds * 1000) {
      const answer = await board.send({ action: 'echo', data: index }).catch(() => undefined);
      if (answer === index) {
        answered++;
      } else {
        failed++;
      }
    }
  }),
);

const { user, system } = process.cpuUsage(cpu);
const report: BoardsReport = {
  answered,
  failed,
  seconds: (performance.now() - startedAt) / 1000,
  cpuMs: (user + system) / 1000,
};
await Promise.all(boards.map((board) => board.close()));
process.send!(report);
process.disconnect();
