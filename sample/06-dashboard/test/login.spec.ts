/** The login, the sessions, and the protection from other sites. */
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Attempts, BURST, MAX_RUNNING, REFILL_MS } from '../src/login/attempts.js';
import { hashPassword, verifyPassword } from '../src/login/password.js';
import { readSettings } from '../src/settings.js';
import { App, PASSWORD } from './support/app.js';
import { type TestDatabase, createDatabase } from './support/databases.js';

describe('the password', () => {
  it('is stored as a salted hash', async () => {
    const [first, second] = await Promise.all([hashPassword('secret'), hashPassword('secret')]);
    expect(first).not.toBe(second);
    expect(first).not.toContain('secret');
    expect(await verifyPassword('secret', first)).toBe(true);
    expect(await verifyPassword('Secret', first)).toBe(false);
  });

  it('must have twelve characters', () => {
    expect(() => readSettings({ DASHBOARD_PASSWORD: 'x'.repeat(11) }, [])).toThrow(
      'DASHBOARD_PASSWORD must have from 12 to 256 characters, but has 11',
    );
    expect(readSettings({ DASHBOARD_PASSWORD: 'x'.repeat(12) }, []).password).toHaveLength(12);
    expect(() => readSettings({ DASHBOARD_PASSWORD: 'x'.repeat(257) }, [])).toThrow('but has 257');
  });
});

describe('attempts', () => {
  const wrong = () => Promise.resolve(false);

  it('are limited for an address, and come back with time', async () => {
    let now = 0;
    const attempts = new Attempts(() => now);
    for (let attempt = 0; attempt < BURST; attempt++) {
      expect(await attempts.run('a', wrong)).toBe(false);
    }
    expect(await attempts.run('a', wrong)).toBeUndefined();
    expect(await attempts.run('b', wrong)).toBe(false);
    now = REFILL_MS - 1;
    expect(await attempts.run('a', wrong)).toBeUndefined();
    now = REFILL_MS;
    expect(await attempts.run('a', wrong)).toBe(false);
    expect(await attempts.run('a', wrong)).toBeUndefined();
  });

  it('are limited for a network of IPv6, whose holder has each of its addresses', async () => {
    const attempts = new Attempts(() => 0);
    for (const address of [
      '2001:db8:1:2::1',
      '2001:db8:1:2::2',
      '2001:db8:1:2:ffff::',
      '2001:DB8:1:2:3:4:5:6',
      '2001:db8:1:2::%eth0',
    ]) {
      expect(await attempts.run(address, wrong)).toBe(false);
    }
    expect(await attempts.run('2001:db8:1:2:9::9', wrong)).toBeUndefined();
    for (const other of ['2001:db8:1:3::1', '::1', '::ffff:192.0.2.1', '::ffff:192.0.2.2', '192.0.2.1', '']) {
      expect(await attempts.run(other, wrong)).toBe(false);
    }
  });

  it('are given back by the right password', async () => {
    const attempts = new Attempts(() => 0);
    for (let round = 0; round < 3; round++) {
      for (let attempt = 0; attempt < BURST - 1; attempt++) {
        expect(await attempts.run('a', wrong)).toBe(false);
      }
      expect(await attempts.run('a', () => Promise.resolve(true))).toBe(true);
    }
  });

  it('are checked a few at once', async () => {
    const attempts = new Attempts(() => 0);
    let finish: (isRight: boolean) => void = () => undefined;
    const slow = new Promise<boolean>((resolve) => (finish = resolve));
    const running = Array.from({ length: MAX_RUNNING }, (_, index) => attempts.run(`${index}`, () => slow));
    expect(await attempts.run('another', wrong)).toBeUndefined();
    finish(false);
    await Promise.all(running);
    expect(await attempts.run('another', wrong)).toBe(false);
  });
});

describe('the app', () => {
  let database: TestDatabase;
  let app: App;

  beforeAll(async () => {
    database = await createDatabase('pglite');
    app = await App.start({ database, env: { DASHBOARD_PASSWORD: '', TRUSTED_PROXY: 'loopback' } });
  });

  afterAll(async () => {
    await app.end();
    await database.remove();
  });

  const madePassword = () => /The password: +(\S+) +\(shown this once\)/.exec(app.output)?.[1];

  it('is bound to loopback, unless told otherwise', () => {
    expect(app.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  it.each(['overview', 'history?boards=a', 'rejections', 'exchanges', 'commands', 'stream'])(
    'shows /api/%s to nobody without a login',
    async (path) => {
      expect((await app.fetch(`/api/${path}`)).status).toBe(401);
      expect((await app.fetch(`/api/${path}`, { headers: { cookie: 'dashboard_session=x' } })).status).toBe(401);
    },
  );

  it('takes no command without a login', async () => {
    expect((await app.post('/api/boards/kitchen/commands', { name: 'led' })).status).toBe(401);
  });

  it('makes a password at its first start, and shows it once', async () => {
    const password = madePassword()!;
    expect(password).toHaveLength(20);
    expect((await app.logIn('not the password')).status).toBe(401);
    expect((await app.logIn(password)).status).toBe(204);
    expect((await app.fetch('/api/overview')).status).toBe(200);
    await app.end();
    await app.restart();
    expect(madePassword()).toBeUndefined();
    // The session outlives the process, and the password does too.
    expect((await app.fetch('/api/overview')).status).toBe(200);
    expect((await app.logIn(password)).status).toBe(204);
  });

  it('counts the address that its proxy has seen, not one that the browser made up', async () => {
    const settings = (TRUSTED_PROXY: string) => readSettings({ TRUSTED_PROXY }, []).trustedProxy;
    expect([settings(''), settings('1'), settings('loopback')]).toEqual([undefined, 1, 'loopback']);
    await app.end();
    await app.restart({ TRUSTED_PROXY: '1' });
    const guess = async (madeUp: number) => {
      const headers = { 'x-forwarded-for': `198.51.100.${madeUp}, 192.168.1.5` };
      return (await app.post('/api/session', { password: 'wrong' }, headers)).status;
    };
    for (let attempt = 0; attempt < BURST; attempt++) {
      expect(await guess(attempt)).toBe(401);
    }
    expect(await guess(BURST)).toBe(429);
    await app.end();
    await expect(app.restart({ TRUSTED_PROXY: 'nonsense' })).rejects.toThrow(
      'TRUSTED_PROXY must be a number of proxies, "loopback" or an address, but is "nonsense"',
    );
    await app.restart();
  });

  it('limits guesses, each address for itself', async () => {
    const guess = async (address: string) =>
      (await app.post('/api/session', { password: 'wrong' }, { 'x-forwarded-for': address })).status;
    for (let attempt = 0; attempt < BURST; attempt++) {
      expect(await guess('198.51.100.1')).toBe(401);
    }
    expect(await guess('198.51.100.1')).toBe(429);
    expect(await guess('198.51.100.2')).toBe(401);
  });

  it.each([undefined, {}, { password: 1 }, { password: 'x'.repeat(257) }])('refuses the login %o', async (body) => {
    expect((await app.post('/api/session', body)).status).toBe(400);
  });

  it('allows scripts from itself alone, and the import map by its hash', async () => {
    const response = await app.fetch('/');
    const policy = response.headers.get('content-security-policy')!;
    const [, map] = /<script type="importmap">(.*?)<\/script>/s.exec(await response.text())!;
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(map));
    expect(policy).toContain(`script-src 'self' 'sha256-${Buffer.from(digest).toString('base64')}'`);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('serves the modules of the import map itself', async () => {
    const page = await (await app.fetch('/')).text();
    const { imports } = JSON.parse(/<script type="importmap">(.*?)<\/script>/s.exec(page)![1]!) as {
      imports: Record<string, string>;
    };
    expect(Object.keys(imports)).toEqual(['preact', 'preact/hooks', 'htm', 'uplot']);
    for (const address of Object.values(imports)) {
      const response = await app.fetch(address);
      expect([response.status, response.headers.get('content-type')]).toEqual([
        200,
        expect.stringMatching(/javascript/),
      ]);
    }
  });
});

describe('an app with a password', () => {
  let database: TestDatabase;
  let app: App;

  beforeAll(async () => {
    database = await createDatabase('pglite');
    app = await App.start({ database, env: { TRUSTED_PROXY: 'loopback' } });
  });

  afterAll(async () => {
    await app.end();
    await database.remove();
  });

  it('sets a cookie that scripts and other sites do not get, and that is secure behind TLS', async () => {
    const cookieOf = async (headers: Record<string, string>) =>
      (await app.post('/api/session', { password: PASSWORD }, headers)).headers.get('set-cookie')!;
    expect(await cookieOf({})).toMatch(/; Path=\/; .*HttpOnly; SameSite=Strict$/);
    expect(await cookieOf({ 'x-forwarded-proto': 'https' })).toMatch(/; HttpOnly; Secure; SameSite=Strict$/);
  });

  it('ends a session', async () => {
    await app.logIn();
    const { cookie } = app;
    expect((await app.fetch('/api/overview')).status).toBe(200);
    expect((await app.post('/api/session/end', {})).status).toBe(204);
    app.cookie = cookie;
    expect((await app.fetch('/api/overview')).status).toBe(401);
  });

  it('ends the stream of a page with its session', async () => {
    await app.logIn();
    const stream = await app.fetch('/api/stream');
    const ended = stream.text();
    await app.post('/api/session/end', {});
    const board = await app.board('kitchen');
    await board.send({ action: 'echo', data: 1 });
    const text = await ended;
    expect(text).toContain('event: begin');
    expect(text).not.toContain('event: heard');
  });

  it('ends all sessions with their password', async () => {
    await app.logIn();
    const restart = async (env: NodeJS.ProcessEnv) => {
      await app.end();
      await app.restart(env);
      return (await app.fetch('/api/overview')).status;
    };
    expect(await restart({})).toBe(200);
    expect(await restart({ DASHBOARD_PASSWORD: 'another password' })).toBe(401);
    expect(await restart({})).toBe(200);
  });

  it.each([
    ['of another origin', { origin: 'https://evil.example' }, 403],
    ['of another port', { origin: 'http://127.0.0.1:1' }, 403],
    ['of another site', { 'sec-fetch-site': 'cross-site' }, 403],
    ['of another subdomain', { 'sec-fetch-site': 'same-site' }, 403],
    ['of its own', { 'sec-fetch-site': 'same-origin' }, 201],
    ['of a program', {}, 201],
  ])('handles a command that a page %s sends', async (_title, headers, status) => {
    await app.logIn();
    const sent = await post(app, '/api/boards/kitchen/commands', { name: 'led' }, headers as Record<string, string>);
    expect(sent).toBe(status);
  });

  it('refuses a command that is a form', async () => {
    await app.logIn();
    const response = await app.fetch('/api/boards/kitchen/commands', {
      method: 'POST',
      body: new URLSearchParams({ name: 'led' }),
    });
    expect(response.status).toBe(400);
  });
});

/** `fetch` sets some of these headers itself. */
function post(app: App, path: string, body: unknown, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(`${app.url}${path}`, {
      method: 'POST',
      headers: { cookie: app.cookie, 'content-type': 'application/json', ...headers },
    });
    sent.on('response', (response) => {
      response.resume();
      resolve(response.statusCode!);
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}
