/**
 * As many processes on one port as there are cores.
 *
 *     npm run start:cores                 # from the root of the repository
 *     npm run start:cores -- --measure    # boards of its own, at one worker and at two
 */
import 'reflect-metadata';
import cluster from 'node:cluster';
import { access } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { generateKeyFile } from 'nestjs-ben-udp';
import { addUp } from './add-up.js';
import { measure } from './measure.js';
import { runWorker } from './worker.js';
import { Workers } from './workers.js';

if (cluster.isWorker) {
  await runWorker();
} else {
  await runFirst();
}

async function runFirst(): Promise<void> {
  const { values } = parseArgs({
    options: {
      measure: { type: 'boolean', default: false },
      boards: { type: 'string', default: '200' },
      seconds: { type: 'string', default: '10' },
    },
  });
  const keyFile = process.env['BEN_KEY_FILE'] || 'key.sec';
  await access(keyFile).catch(async () => {
    console.log(`Made the key file ${keyFile} (fingerprint ${await generateKeyFile(keyFile)}).`);
  });
  if (values.measure) {
    await measure({ boards: Number(values.boards), seconds: Number(values.seconds), keyFile });
    return;
  }
  const count = Number(process.env['WORKERS'] || availableParallelism());
  if (!Number.isInteger(count) || count < 1) {
    throw new RangeError(`WORKERS must be a number of processes, 1 or more, and is ${process.env['WORKERS']}`);
  }
  const workers = new Workers(process.env);
  // One at a time: a second SIGHUP would begin with workers that the first has replaced already.
  let restart = workers.start(count);
  process.on('SIGHUP', () => {
    restart = restart.then(() => workers.replaceAll());
  });
  process.on('SIGUSR2', async () => {
    const reports = await workers.reports();
    console.log(
      JSON.stringify({ boards: reports.map(({ boards }) => boards), sum: addUp(reports.map(({ stats }) => stats)) }),
    );
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void workers.stop().then(() => console.log('All workers have ended.'));
    });
  }
  await restart;
  console.log('SIGHUP restarts them one after the other, SIGUSR2 shows their counters, Ctrl+C stops them.');
}
