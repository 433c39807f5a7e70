import {
  BadRequestException,
  Body,
  Controller,
  Get,
  HttpCode,
  HttpException,
  HttpStatus,
  Post,
  Req,
  Res,
  UnauthorizedException,
} from '@nestjs/common';
import type { CookieOptions, Request, Response } from 'express';
import { MAX_PASSWORD } from '../settings.js';
import { Attempts } from './attempts.js';
import { COOKIE, readToken } from './session.guard.js';
import { SESSION_MS, SessionsService } from './sessions.service.js';

@Controller('api/session')
export class LoginController {
  private readonly attempts = new Attempts();

  constructor(private readonly sessions: SessionsService) {}

  @Get()
  show(@Req() request: Request): { isLoggedIn: boolean } {
    const token = readToken(request);
    return { isLoggedIn: token !== undefined && this.sessions.isLive(token) };
  }

  @Post()
  @HttpCode(HttpStatus.NO_CONTENT)
  async logIn(
    @Body() body: { password?: unknown } | undefined,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<void> {
    const password = body?.password;
    if (typeof password !== 'string' || password.length > MAX_PASSWORD) {
      throw new BadRequestException('send {"password": "…"} as JSON');
    }
    const isRight = await this.attempts.run(request.ip ?? '', () => this.sessions.isPassword(password));
    if (isRight === undefined) {
      throw new HttpException('too many attempts: wait half a minute', HttpStatus.TOO_MANY_REQUESTS);
    }
    if (!isRight) {
      throw new UnauthorizedException('wrong password');
    }
    response.cookie(COOKIE, await this.sessions.begin(), cookieOptions(request));
  }

  @Post('end')
  @HttpCode(HttpStatus.NO_CONTENT)
  async logOut(@Req() request: Request, @Res({ passthrough: true }) response: Response): Promise<void> {
    const token = readToken(request);
    if (token !== undefined) {
      await this.sessions.end(token);
    }
    response.clearCookie(COOKIE, { ...cookieOptions(request), maxAge: undefined });
  }
}

/** Secure behind TLS: a trusted proxy says so. */
function cookieOptions({ secure }: Request): CookieOptions {
  return { httpOnly: true, sameSite: 'strict', secure, path: '/', maxAge: SESSION_MS };
}
