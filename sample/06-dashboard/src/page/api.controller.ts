import {
  BadRequestException,
  Body,
  Controller,
  Get,
  Inject,
  type MessageEvent,
  NotFoundException,
  Param,
  Post,
  Query,
  Req,
  Sse,
  UseGuards,
} from '@nestjs/common';
import type { Request } from 'express';
import { REJECTIONS } from 'nestjs-ben-udp';
import { type Observable, takeWhile } from 'rxjs';
import { type ExchangeRecord, ExchangesService } from '../boards/exchanges.service.js';
import { IngestService } from '../boards/ingest.service.js';
import { DEFAULT_LIFE_MS, MailboxService } from '../boards/mailbox.service.js';
import { RejectionsService } from '../boards/rejections.service.js';
import { RosterService } from '../boards/roster.service.js';
import { toStorableJson } from '../boards/storable.js';
import { type Command, type Line, Store } from '../database/store.js';
import { SessionGuard, readToken } from '../login/session.guard.js';
import { SessionsService } from '../login/sessions.service.js';
import { SETTINGS, type Settings } from '../settings.js';
import { readNumber, readRange, readText } from './query.js';
import { StreamService } from './stream.service.js';

const MAX_BOARDS = 100;
const MAX_POINTS = 2000;
const MAX_COMMANDS = 100;
const COMMAND_NAME = /^[A-Za-z][\w.-]{0,31}$/;
/** A reply has to fit into the buffer of a board, 4096 bytes by default. */
const MAX_COMMAND_DATA = 1024;
/** Bytes that wait for a page that does not read, say on a laptop that sleeps. Later the page connects again, and loads everything. */
const MAX_UNREAD = 1_048_576;

/** All that the page asks for. */
@Controller('api')
@UseGuards(SessionGuard)
export class ApiController {
  constructor(
    @Inject(SETTINGS) private readonly settings: Settings,
    private readonly store: Store,
    private readonly ingest: IngestService,
    private readonly roster: RosterService,
    private readonly rejectionsService: RejectionsService,
    private readonly exchangesService: ExchangesService,
    private readonly mailbox: MailboxService,
    private readonly streamService: StreamService,
    private readonly sessions: SessionsService,
  ) {}

  @Sse('stream')
  stream(@Req() request: Request): Observable<MessageEvent> {
    const token = readToken(request)!;
    const isWanted = () => request.socket.writableLength < MAX_UNREAD && this.sessions.isLive(token);
    return this.streamService.connect().pipe(takeWhile(isWanted));
  }

  /** For the first paint. */
  @Get('overview')
  async overview(): Promise<object> {
    const boards = await this.roster.list();
    const latest = this.ingest.latest();
    const { silentAfterMs, databaseUrl } = this.settings;
    const database = databaseUrl === undefined ? 'PGlite' : 'PostgreSQL';
    return { now: Date.now(), silentAfterMs, database, boards, latest, reasons: REJECTIONS };
  }

  @Get('history')
  history(
    @Query('boards') names: unknown,
    @Query('from') from: unknown,
    @Query('to') to: unknown,
    @Query('points') points: unknown,
  ): Promise<Line[]> {
    // Repeated, because a name may have any separator in it.
    const boards = [names].flat().map((name) => readText('boards', name, /./));
    if (boards.length > MAX_BOARDS) {
      throw new BadRequestException(`"boards" may name at most ${MAX_BOARDS} boards`);
    }
    return this.store.history({ boards, ...readRange(from, to), points: readNumber('points', points, 1, MAX_POINTS) });
  }

  @Get('rejections')
  async rejections(
    @Query('from') fromText: unknown,
    @Query('to') toText: unknown,
    @Query('bucket') bucket: unknown,
  ): Promise<object> {
    const { from, to } = readRange(fromText, toText);
    const bucketMs = readNumber('bucket', bucket, 60_000, 86_400_000);
    if ((to - from) / bucketMs > MAX_POINTS) {
      throw new BadRequestException(`"bucket" is too small: at most ${MAX_POINTS} fit between "from" and "to"`);
    }
    const counts = await this.rejectionsService.list(from, to, bucketMs);
    return { counts, recent: this.rejectionsService.listRecent() };
  }

  @Get('exchanges')
  exchanges(): ExchangeRecord[] {
    return this.exchangesService.list();
  }

  @Get('commands')
  commands(@Query('board') board: unknown): Promise<Command[]> {
    return this.store.listCommands(board === undefined ? undefined : readText('board', board, /./), MAX_COMMANDS);
  }

  @Post('boards/:board/commands')
  async queue(@Param('board') board: string, @Body() body: unknown): Promise<Command> {
    const { name, data = null } = (body ?? {}) as Record<string, unknown>;
    const command = readText('name', name, COMMAND_NAME);
    const json = JSON.stringify(data);
    if (json.length > MAX_COMMAND_DATA || json !== toStorableJson(data)) {
      throw new BadRequestException(
        `"data" must be at most ${MAX_COMMAND_DATA} characters of JSON, without NUL and halves of surrogate pairs`,
      );
    }
    if (!(await this.roster.keyNames()).includes(board)) {
      throw new NotFoundException(`no board "${board}" has a key`);
    }
    return this.mailbox.queue(board, command, data, DEFAULT_LIFE_MS);
  }
}
