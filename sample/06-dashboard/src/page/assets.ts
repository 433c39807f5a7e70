/** The files of the page, all from this machine. No build step: the browser loads the modules as they are. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Request, Response } from 'express';
import helmet from 'helmet';
import { PUBLIC } from '../settings.js';

/** Files of packages, by their address. */
const VENDOR = {
  '/vendor/preact.mjs': 'preact',
  '/vendor/preact-hooks.mjs': 'preact/hooks',
  '/vendor/htm.mjs': 'htm',
  '/vendor/uplot.mjs': 'uplot/dist/uPlot.esm.js',
  '/vendor/uplot.css': 'uplot/dist/uPlot.min.css',
};

export function serveAssets(app: NestExpressApplication): void {
  const page = readFileSync(join(PUBLIC, 'index.html'), 'utf8');
  app.use(securityHeaders(page));
  for (const [address, file] of Object.entries(VENDOR)) {
    const path = fileURLToPath(import.meta.resolve(file));
    // With a root: without one, Express hides files whose path has a dot folder, and pnpm keeps packages in `.pnpm`.
    const [name, options] = [basename(path), { root: dirname(path) }];
    app.use(address, (_request: Request, response: Response) => response.sendFile(name, options));
  }
  app.useStaticAssets(PUBLIC);
}

/** The import map is the only script inside the page, and its hash the only one that is allowed. */
function securityHeaders(page: string): ReturnType<typeof helmet> {
  const [, importMap] = /<script type="importmap">(.*?)<\/script>/s.exec(page)!;
  const hash = createHash('sha256').update(importMap!).digest('base64');
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'", `'sha256-${hash}'`],
        styleSrc: ["'self'"],
        imgSrc: ["'self'", 'data:'],
        connectSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    referrerPolicy: { policy: 'no-referrer' },
  });
}
