/**
 * Boards on UDP, their readings in a database, and a page for people.
 *
 *     npm run dashboard              # from the root of the repository
 *     npm run dashboard -- --demo    # with virtual boards
 */
import 'reflect-metadata';
import { mkdir } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { BenUdpTransport } from 'nestjs-ben-udp';
import { AppModule } from './app.module.js';
import { Store } from './database/store.js';
import { startDemo } from './demo/demo.js';
import { ensureKeys } from './demo/keys.js';
import { requireSameOrigin } from './login/same-origin.js';
import { SessionsService } from './login/sessions.service.js';
import { serveAssets } from './page/assets.js';
import { readSettings } from './settings.js';

const settings = readSettings(process.env, process.argv.slice(2));
await mkdir(settings.dataFolder, { recursive: true });
await ensureKeys(settings);

const app = await NestFactory.create<NestExpressApplication>(AppModule.with(settings), {
  logger: ['error', 'warn', 'fatal'],
  // Only JSON: a page of another site can send a form without asking first.
  bodyParser: false,
  // Browsers open connections ahead of need. Without this each would hold up the end of the app for a minute.
  forceCloseConnections: true,
});
app.useBodyParser('json', { limit: '16kb' });
if (settings.trustedProxy !== undefined) {
  trustProxy(settings.trustedProxy);
}
serveAssets(app);
app.use(requireSameOrigin);
app.connectMicroservice<MicroserviceOptions>({ strategy: app.get(BenUdpTransport) });
app.enableShutdownHooks();
// First the services, then the boards: Nest would call `onModuleInit` in `listen`, when boards are answered already.
await app.init();
await app.startAllMicroservices();
await app.listen(settings.httpPort, settings.httpHost);

const boards = app.get(BenUdpTransport).unwrap().address();
const page = app.getHttpServer().address() as AddressInfo;
const pageHost = page.family === 'IPv6' ? `[${page.address}]` : page.address;
const sessions = app.get(SessionsService);
console.log(`
The dashboard: http://${pageHost}:${page.port}
The boards:    udp ${boards.address} port ${boards.port}, keys in ${settings.keyFolder}
The password:  ${describePassword(sessions.madePassword)}
Stop with Ctrl+C.
`);
if (sessions.madePassword !== undefined) {
  await sessions.keepMadePassword();
}

if (settings.isDemo) {
  console.log(await startDemo(settings, app.get(Store), boards.port));
}

function describePassword(made: string | undefined): string {
  if (made !== undefined) {
    return `${made}   (shown this once)`;
  }
  return settings.password === undefined
    ? 'as it was shown at the first start; DASHBOARD_PASSWORD sets another'
    : 'that of DASHBOARD_PASSWORD';
}

function trustProxy(proxy: string | number): void {
  try {
    // Not by `app`, which ends the process with a trace if Express refuses the value.
    app.getHttpAdapter().getInstance().set('trust proxy', proxy);
  } catch {
    throw new RangeError(`TRUSTED_PROXY must be a number of proxies, "loopback" or an address, but is "${proxy}"`);
  }
}
