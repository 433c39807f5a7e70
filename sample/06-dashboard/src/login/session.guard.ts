import { type CanActivate, type ExecutionContext, Injectable, UnauthorizedException } from '@nestjs/common';
import type { Request } from 'express';
import { SessionsService } from './sessions.service.js';

export const COOKIE = 'dashboard_session';

/** Lets requests with a live session pass. */
@Injectable()
export class SessionGuard implements CanActivate {
  constructor(private readonly sessions: SessionsService) {}

  canActivate(context: ExecutionContext): boolean {
    const token = readToken(context.switchToHttp().getRequest<Request>());
    if (token === undefined || !this.sessions.isLive(token)) {
      throw new UnauthorizedException('log in first');
    }
    return true;
  }
}

export function readToken({ headers }: Request): string | undefined {
  const pairs = (headers.cookie ?? '').split('; ').map((pair) => pair.split('='));
  return pairs.find(([name]) => name === COOKIE)?.[1];
}
