import type { NextFunction, Request, Response } from 'express';

const SAFE = new Set(['GET', 'HEAD']);

/**
 * Refuses changes that a page of another site asks for. Browsers name the origin of each POST. `SameSite=Strict` keeps the cookie away
 * from other sites, but not from other ports of the same host.
 */
export function requireSameOrigin(request: Request, response: Response, next: NextFunction): void {
  const { origin, 'sec-fetch-site': site = 'same-origin' } = request.headers;
  const isSame = origin === undefined || origin === `${request.protocol}://${request.host}`;
  if (SAFE.has(request.method) || (isSame && site === 'same-origin')) {
    next();
  } else {
    response.status(403).json({ statusCode: 403, message: 'this request comes from another site' });
  }
}
