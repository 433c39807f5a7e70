import { createHash, randomBytes } from 'node:crypto';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { Store } from '../database/store.js';
import { SETTINGS, type Settings } from '../settings.js';
import { hashPassword, identifyPassword, makePassword, verifyPassword } from './password.js';

export const SESSION_MS = 7 * 86_400_000;
const MAX_SESSIONS = 50;
const PASSWORD = 'password';

/** The password, and who has given it. */
@Injectable()
export class SessionsService implements OnModuleInit {
  /** The end of each session, by the hash of its token. */
  private readonly ends = new Map<string, number>();
  private passwordHash!: string;
  /** Part of the hash of each token, so sessions end with the password that began them. */
  private passwordId!: string;
  /** A password that was made at this start; it is shown once. */
  madePassword: string | undefined;

  constructor(
    @Inject(SETTINGS) private readonly settings: Settings,
    private readonly store: Store,
  ) {}

  async onModuleInit(): Promise<void> {
    const { password } = this.settings;
    this.passwordHash = password === undefined ? await this.loadPassword() : await hashPassword(password);
    this.passwordId = password === undefined ? this.passwordHash : await identifyPassword(password);
    for (const { tokenHash, expiresAt } of await this.store.liveSessions(Date.now())) {
      this.ends.set(tokenHash, expiresAt);
    }
  }

  /** Stores a password that was made, once it has been shown. If a start fails before that, the next one makes another. */
  async keepMadePassword(): Promise<void> {
    await this.store.keepSetting(PASSWORD, this.passwordHash);
  }

  isPassword(password: string): Promise<boolean> {
    return verifyPassword(password, this.passwordHash);
  }

  /** A new token. */
  async begin(): Promise<string> {
    const token = randomBytes(32).toString('base64url');
    const session = { tokenHash: this.hash(token), expiresAt: Date.now() + SESSION_MS };
    await this.store.addSession(session, MAX_SESSIONS);
    this.ends.set(session.tokenHash, session.expiresAt);
    if (this.ends.size > MAX_SESSIONS) {
      const [oldest] = this.ends.keys();
      this.ends.delete(oldest!);
    }
    return token;
  }

  isLive(token: string): boolean {
    return (this.ends.get(this.hash(token)) ?? 0) > Date.now();
  }

  async end(token: string): Promise<void> {
    const hash = this.hash(token);
    this.ends.delete(hash);
    await this.store.removeSession(hash);
  }

  private async loadPassword(): Promise<string> {
    const stored = await this.store.readSetting(PASSWORD);
    if (stored !== undefined) {
      return stored;
    }
    this.madePassword = makePassword();
    return hashPassword(this.madePassword);
  }

  private hash(token: string): string {
    return createHash('sha256').update(this.passwordId).update(token).digest('hex');
  }
}
