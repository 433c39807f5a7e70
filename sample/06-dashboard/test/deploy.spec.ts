/** The files for deployment: linters accept them, they name settings that exist, and they fit the metrics of 03-operating. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DCLinter } from 'dclint';
import ts from 'typescript';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';

const sample = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(sample, path), 'utf8');

/** The variables that the app reads. */
const SETTINGS = new Set([...read('src/settings.ts').matchAll(/'([A-Z][A-Z_]+)'/g)].map(([, name]) => name!));

function isAtHand(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

interface Service {
  readonly environment: Record<string, string>;
  readonly ports?: string[];
  readonly volumes: string[];
  readonly read_only?: boolean;
  readonly depends_on?: Record<string, { condition: string }>;
  readonly healthcheck?: object;
}

describe('docker-compose.yml', () => {
  const { services, volumes } = parse(read('deploy/docker-compose.yml')) as {
    services: Record<'app' | 'database', Service>;
    volumes: object;
  };

  it('has the schema of a compose file, and nothing that a linter finds', () => {
    const linter = new DCLinter({ rules: {}, quiet: false, debug: false, exclude: [] });
    const [result] = linter.lintFiles([join(sample, 'deploy', 'docker-compose.yml')], false);
    expect(result!.messages).toEqual([]);
  });

  it('sets variables that the app reads', () => {
    const names = Object.keys(services.app.environment);
    expect(names).toContain('DATABASE_URL');
    // That one is read by the driver of PostgreSQL.
    expect(names.filter((name) => !SETTINGS.has(name))).toEqual(['PGPASSWORD']);
  });

  it('has a volume for all that the app writes, because its other files are read only', () => {
    const { read_only: isReadOnly, environment, volumes: mounted } = services.app;
    expect(isReadOnly).toBe(true);
    const folder = environment['DASHBOARD_DATA']!;
    expect(mounted).toContain(`state:${folder}`);
    expect(read('deploy/Dockerfile')).toMatch(new RegExp(`^RUN install -d -o node -g node ${folder}$`, 'm'));
  });

  it('publishes the page on loopback only, and boards on UDP', () => {
    expect(services.app.ports).toEqual(['127.0.0.1:3000:3000', '0.0.0.0:8585:8585/udp']);
    expect(services.database.ports).toBeUndefined();
  });

  it('starts the app when the database is healthy, and keeps its data', () => {
    expect(services.app.depends_on).toEqual({ database: { condition: 'service_healthy' } });
    expect(services.database.healthcheck).toBeDefined();
    const [kept] = services.database.volumes[0]!.split(':');
    expect(Object.keys(volumes)).toEqual([kept, 'state']);
  });

  it('has no password in it', () => {
    const secrets = Object.entries({ ...services.app.environment, ...services.database.environment }).filter(([name]) =>
      name.includes('PASSWORD'),
    );
    expect(secrets).toHaveLength(3);
    expect(secrets.filter(([, value]) => !value.startsWith('${'))).toEqual([]);
  });
});

describe('Dockerfile', () => {
  it('copies files that exist', () => {
    const copied = [...read('deploy/Dockerfile').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files]) =>
      files!.split(' '),
    );
    expect(copied.length).toBeGreaterThan(4);
    copied.forEach((file) => expect(() => execFileSync('ls', [join(sample, file)])).not.toThrow());
  });
});

describe('dashboard.service', () => {
  const unit = read('deploy/dashboard.service');

  it('sets variables that the app reads', () => {
    const names = [...unit.matchAll(/^Environment=(\w+)=/gm)].map(([, name]) => name!);
    expect(names.filter((name) => name !== 'NODE_ENV' && !SETTINGS.has(name))).toEqual([]);
    expect(names).toContain('DATABASE_URL');
  });

  it('has settings in sections, each once', () => {
    const lines = unit.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(lines.filter((line) => !/^(\[(Unit|Service|Install)\]|[A-Z]\w+=.*)$/.test(line))).toEqual([]);
    const once = lines.map((line) => line.split('=')[0]!).filter((name) => name !== 'Environment');
    expect(new Set(once).size).toBe(once.length);
  });

  it.skipIf(!isAtHand('systemd-analyze'))('is a unit that systemd accepts (needs systemd-analyze)', () => {
    // It looks for the program, which may be elsewhere here.
    const folder = mkdtempSync(join(tmpdir(), 'unit-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'dashboard.service');
    writeFileSync(path, unit.replace('/usr/bin/node', process.execPath));
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', path], { encoding: 'utf8' });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
  });
});

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { x: number; y: number; w: number; h: number };
  readonly targets: Array<{ refId: string; expr: string }>;
}

/** The complaints of the compiler about a dashboard, by the types that Grafana makes from its schema. An enum may be its text. */
function compareWithSchema(json: string): string[] {
  const path = join(sample, 'test', 'grafana-dashboard.ts');
  const code = `
    import type { Dashboard } from '@grafana/schema';
    type AsJson<T> = T extends string ? \`\${T}\` : T extends object ? { [K in keyof T]: AsJson<T[K]> } : T;
    export default ${json.trim()} satisfies AsJson<Dashboard>;`;
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    noEmit: true,
    skipLibCheck: true,
    strict: true,
    target: ts.ScriptTarget.ES2022,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const program = ts.createProgram([path], options, {
    ...host,
    fileExists: (name) => name === path || host.fileExists(name),
    getSourceFile: (name, ...rest) =>
      name === path ? ts.createSourceFile(name, code, options.target!) : host.getSourceFile(name, ...rest),
  });
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

describe('grafana-dashboard.json', () => {
  it("fits Grafana's schema", { timeout: 120_000 }, () => {
    const json = read('deploy/grafana-dashboard.json');
    expect(compareWithSchema(json)).toEqual([]);
    // The schema notices a wrong name and a wrong value.
    expect(compareWithSchema(json.replace('"gridPos"', '"gridPosition"'))).toEqual([
      expect.stringContaining('gridPosition'),
    ]);
    expect(compareWithSchema(json.replace('"absolute"', '"relative"'))).toEqual([expect.stringContaining('relative')]);
  });

  const dashboard = JSON.parse(read('deploy/grafana-dashboard.json')) as {
    title: string;
    uid: string;
    schemaVersion: number;
    panels: Panel[];
    templating: { list: Array<{ name: string; type: string }> };
  };
  const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));

  it('has what Grafana asks of a dashboard', () => {
    expect(dashboard).toMatchObject({ title: expect.any(String), uid: expect.stringMatching(/^[\w-]{1,40}$/) });
    expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(36);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    for (const { type, title, targets } of dashboard.panels) {
      expect(['timeseries', 'stat']).toContain(type);
      expect(title).not.toBe('');
      expect(targets.length).toBeGreaterThan(0);
      expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
    }
  });

  it('has panels within 24 columns that do not overlap', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + (index % w)} ${y + Math.floor(index / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(cells.filter((cell) => Number(cell.split(' ')[0]) >= 24)).toEqual([]);
  });

  it('asks for metrics that 03-operating has, and for all of them', () => {
    const source = readFileSync(join(sample, '..', '03-operating', 'metrics.service.ts'), 'utf8');
    const existing = new Set([...source.matchAll(/'(ben_udp_\w+)'/g)].map(([, name]) => name!));
    const asked = new Set(
      expressions.flatMap((each) => each.match(/ben_udp_\w+/g) ?? []).map((name) => name.replace(/_bucket$/, '')),
    );
    expect([...asked].toSorted()).toEqual([...existing].toSorted());
  });

  it('uses variables that it has', () => {
    const names = new Set(dashboard.templating.list.map(({ name }) => name));
    const used = [...JSON.stringify(dashboard).matchAll(/\$\{?(\w+)/g)].map(([, name]) => name!);
    expect(used.filter((name) => !names.has(name))).toEqual([]);
  });
});
