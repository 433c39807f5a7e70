/** The files for deployment: they parse, run programs that exist, and fit each other. NATS itself reads its configuration. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

const sample = join(import.meta.dirname, '..');
const deploy = join(sample, 'deploy');
const read = (name: string) => readFileSync(join(deploy, name), 'utf8');

/** The variables that edge and workers read. */
const SETTINGS = new Set(
  [...readFileSync(join(sample, 'src/settings.ts'), 'utf8').matchAll(/'([A-Z][A-Z_]+)'/g)].map(([, name]) => name!),
);

/** `dist/edge/main.js` comes from `src/edge/main.ts`. */
const hasSource = (program: string) => existsSync(join(sample, program.replace('dist', 'src').replace(/js$/, 'ts')));

const nats = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  .map((folder) => join(folder, 'nats-server'))
  .find((path) => existsSync(path));

interface Service {
  readonly command?: string[];
  readonly environment: Record<string, string>;
  readonly ports?: string[];
  readonly deploy?: { replicas: number };
  readonly read_only?: boolean;
  readonly volumes: string[];
}

describe('docker-compose.yml', () => {
  const { services } = parse(read('docker-compose.yml')) as { services: Record<'nats' | 'edge' | 'worker', Service> };

  it('runs programs that exist, with variables that they read', () => {
    expect(hasSource(services.edge.command!.at(-1)!)).toBe(true);
    const names = [services.edge, services.worker].flatMap(({ environment }) => Object.keys(environment));
    expect(names).toContain('NATS_URL');
    expect(names.filter((name) => !SETTINGS.has(name))).toEqual([]);
  });

  it('lets the edge write where it keeps its known boards, because its other files are read-only', () => {
    const { environment, read_only, volumes } = services.edge;
    expect(read_only).toBe(true);
    const folder = dirname(environment['KNOWN_BOARDS_FILE']!);
    expect(volumes.filter((volume) => volume.endsWith(`:${folder}`))).toHaveLength(1);
    expect(read('Dockerfile')).toContain(`mkdir ${folder} && chown node:node ${folder}`);
  });

  it('publishes the port of boards, and not NATS', () => {
    expect(services.edge.ports).toEqual(['8585:8585/udp']);
    expect(services.nats.ports).toBeUndefined();
    expect(services.worker.ports).toBeUndefined();
  });

  it('has two workers, and no password in it', () => {
    expect(services.worker.deploy).toEqual({ replicas: 2 });
    const texts = Object.values(services).flatMap(({ environment }) => Object.values(environment));
    expect(texts.filter((text) => /^nats:|PASSWORD/.test(text) && !text.includes('${'))).toEqual([]);
  });
});

interface Resource {
  readonly kind: string;
  readonly metadata: { name: string };
  readonly spec: {
    type?: string;
    externalTrafficPolicy?: string;
    selector: Record<string, string> & { matchLabels?: Record<string, string> };
    ports?: Array<{ port: number; protocol?: string }>;
    template?: {
      metadata: { labels: Record<string, string> };
      spec: {
        containers: Array<{
          command?: string[];
          env?: Array<{ name: string; value?: string }>;
          volumeMounts?: Array<{ name: string; mountPath: string; readOnly?: boolean }>;
          securityContext?: { readOnlyRootFilesystem?: boolean };
        }>;
        volumes?: Array<{ name: string }>;
      };
    };
    volumeClaimTemplates?: Array<{ metadata: { name: string } }>;
  };
}

describe('kubernetes.yml', () => {
  const documents = parseAllDocuments(read('kubernetes.yml'));
  const resources = documents.map((each) => each.toJS() as Resource);
  const find = (kind: string, name: string) =>
    resources.find((each) => each.kind === kind && each.metadata.name === name)!.spec;
  const podsOf = (kind: string, name: string) => find(kind, name).template!;

  it('parses', () => {
    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([]);
    expect(resources).toHaveLength(6);
  });

  it('keeps the addresses of boards', () => {
    expect(find('Service', 'boards')).toMatchObject({
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      ports: [{ protocol: 'UDP', port: 8585, targetPort: 8585 }],
    });
  });

  it.each([
    ['Deployment', 'edge'],
    ['Deployment', 'worker'],
    ['StatefulSet', 'nats'],
  ])('%s %s selects its own pods, whose volumes exist', (kind, name) => {
    const { selector, volumeClaimTemplates = [] } = find(kind, name);
    const { metadata, spec } = podsOf(kind, name);
    expect(selector.matchLabels).toEqual(metadata.labels);
    const volumes = [...(spec.volumes ?? []), ...volumeClaimTemplates.map((each) => each.metadata)].map(
      (each) => each.name,
    );
    const mounted = spec.containers.flatMap(({ volumeMounts = [] }) => volumeMounts.map((each) => each.name));
    expect(mounted.filter((each) => !volumes.includes(each))).toEqual([]);
  });

  it('lets the edge write where it keeps its known boards, because its other files are read-only', () => {
    const { containers, volumes } = podsOf('Deployment', 'edge').spec;
    const { env, volumeMounts, securityContext } = containers[0]!;
    expect(securityContext).toMatchObject({ readOnlyRootFilesystem: true });
    const file = env!.find(({ name }) => name === 'KNOWN_BOARDS_FILE')!.value!;
    const { name, readOnly } = volumeMounts!.find(({ mountPath }) => mountPath === dirname(file))!;
    expect([readOnly, volumes!.find((volume) => volume.name === name)]).toEqual([undefined, { name, emptyDir: {} }]);
  });

  it('points services at pods', () => {
    expect(find('Service', 'boards').selector).toEqual(podsOf('Deployment', 'edge').metadata.labels);
    expect(find('Service', 'nats').selector).toEqual(podsOf('StatefulSet', 'nats').metadata.labels);
  });

  it.each(['edge', 'worker'])('runs the program of the %s, with variables that it reads', (name) => {
    const [container] = podsOf('Deployment', name).spec.containers;
    expect(container!.command!.at(-1)).toBe(`dist/${name}/main.js`);
    expect(hasSource(container!.command!.at(-1)!)).toBe(true);
    const names = container!.env!.map((each) => each.name).filter((each) => !each.endsWith('_PASSWORD'));
    expect(names).toContain('NATS_URL');
    expect(names.filter((each) => !SETTINGS.has(each))).toEqual([]);
  });
});

describe('nats.conf', () => {
  it.skipIf(nats === undefined)('is a configuration that NATS accepts (needs nats-server)', () => {
    const env = {
      ...process.env,
      STORE_DIR: '/data',
      EDGE_PASSWORD: 'edge-password',
      WORKER_PASSWORD: 'worker-password',
    };
    const { status, stderr } = spawnSync(nats!, ['-t', '-c', join(deploy, 'nats.conf')], { env, encoding: 'utf8' });
    expect({ status, stderr }).toMatchObject({ status: 0 });
  });
});

describe('Dockerfile', () => {
  it('copies files that exist', () => {
    const copied = [...read('Dockerfile').matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files]) =>
      files!.split(' '),
    );
    expect(copied.length).toBeGreaterThan(3);
    expect(copied.filter((file) => !existsSync(join(sample, file)))).toEqual([]);
  });
});
