/** The store of another thread. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { STORE_METHODS, type Store } from './store.js';

export interface StoreCall {
  readonly id: number;
  readonly method: (typeof STORE_METHODS)[number];
  readonly args: unknown[];
}

interface StoreAnswer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: unknown;
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/**
 * Starts the thread; resolves when its database is open.
 *
 * @param onFailure if the thread ends by itself. Readings can't be stored from then on.
 */
export async function startRemoteStore(
  folder: string,
  migrations: string,
  onFailure: (error: unknown) => void,
): Promise<Store> {
  const worker = new Worker(new URL('pglite.worker.js', import.meta.url), { workerData: { folder, migrations } });
  await once(worker, 'message');
  const waiting = new Map<number, Waiting>();
  let lastId = 0;

  const fail = (error: unknown) => {
    waiting.forEach(({ reject }) => reject(error));
    waiting.clear();
    onFailure(error);
  };
  worker.on('message', ({ id, result, error }: StoreAnswer) => {
    const call = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) {
      call?.resolve(result);
    } else {
      call?.reject(error);
    }
  });
  worker.on('error', fail);

  const call = (method: StoreCall['method'], args: unknown[]) =>
    new Promise((resolve, reject) => {
      const id = ++lastId;
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, method, args } satisfies StoreCall);
    });
  const methods = STORE_METHODS.map((method) => [method, (...args: unknown[]) => call(method, args)]);
  const close = async () => {
    await call('close', []);
    await worker.terminate();
  };
  return { ...Object.fromEntries(methods), close } as Store;
}
