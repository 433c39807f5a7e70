/**
 * Whether the package works where users have it: packs it, installs the tarball into throw-away projects of every version
 * of Nest, compiles them, and has a board and a client ask each of them on every version of Node.
 *
 *     npm run test:consumers -- --nest 12 --node 20,24 --format jest
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { FORMATS, NESTS, NODES, SUBSET } from './consumers/matrix.mjs';
import { installNest, installNodes, runProject, writeProject } from './consumers/project.mjs';
import { formatTable, saveTable } from './consumers/table.mjs';
import { packInto } from './support/pack.mjs';

const HELP = `Usage: npm run test:consumers -- [options]

  --nest <list>     versions of Nest, of ${listNames(NESTS)}
  --node <list>     versions of Node, majors or exact ones; default ${NODES.join(', ')}
  --format <list>   of ${listNames(FORMATS)}
  --subset          ${SUBSET.map(({ nest, nodes }) => `Nest ${nest} on Node ${nodes}`).join(', ')} in every format
  --tarball <path>  a packed package, instead of building and packing
  --save <path>     write the table into this file; for whole runs alone
  --keep            keep the projects
`;

const { values: options } = parseArgs({
  options: {
    nest: { type: 'string' },
    node: { type: 'string' },
    format: { type: 'string' },
    subset: { type: 'boolean', default: false },
    tarball: { type: 'string' },
    save: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

/**
 * @typedef {import('./consumers/matrix.mjs').Nest} Nest
 * @typedef {import('./consumers/matrix.mjs').Format} Format
 * @typedef {import('./consumers/project.mjs').InstalledNode} InstalledNode
 * @typedef {{ nest: Nest, format: Format, nodes: string[] }} Project its nodes by name
 */

/** The selection of the options. */
function selectProjects() {
  const nests = pick('nest', NESTS);
  const formats = pick('format', FORMATS);
  const nodes = options.node?.split(',') ?? NODES;
  return nests
    .flatMap((nest) => formats.map((format) => ({ nest, format, nodes })))
    .filter(({ nest, format }) => format.onlyNests?.includes(nest.name) ?? true)
    .map((project) => (options.subset ? { ...project, nodes: narrow(project) } : project))
    .filter((project) => project.nodes.length > 0);
}

/** @param {Project} project */
function narrow({ nest, nodes }) {
  const subset = SUBSET.find((each) => each.nest === nest.name)?.nodes ?? [];
  return nodes.filter((node) => subset.includes(node));
}

/**
 * @template {{ name: string }} Item
 * @param {'nest' | 'format'} option
 * @param {Item[]} all
 */
function pick(option, all) {
  const names = options[option]?.split(',') ?? all.map(({ name }) => name);
  return names.map((name) => {
    const found = all.find((each) => each.name === name);
    if (!found) {
      throw new Error(`--${option}: ${name} is not one of ${listNames(all)}`);
    }
    return found;
  });
}

/** @param {{ name: string }[]} all */
function listNames(all) {
  return all.map(({ name }) => name).join(', ');
}

/**
 * @param {Project[]} projects
 * @param {string} folder
 */
async function runMatrix(projects, folder) {
  const tarball = options.tarball ? resolve(options.tarball) : await timed('built and packed', packInto(folder));
  const nests = [...new Set(projects.map(({ nest }) => nest))];
  const folderOf = (/** @type {Nest} */ { name }) => join(folder, `nest-${name}`);
  const nodesFolder = join(folder, 'nodes');
  await Promise.all([nodesFolder, ...nests.map(folderOf)].map((each) => mkdir(each)));
  const [nodes, ...installed] = await timed(
    'installed',
    Promise.all([
      installNodes([...new Set(projects.flatMap((project) => project.nodes))], nodesFolder),
      ...nests.map((nest) => installNest(nest, folderOf(nest), tarball)),
    ]),
  );
  /** @type {import('./consumers/table.mjs').ProjectResult[]} */
  const results = [];
  await inParallel([...projects.entries()], async ([index, project]) => {
    const ownNodes = nodes.filter(({ spec }) => project.nodes.includes(spec));
    results[index] = {
      ...project,
      cells: await runCells(project, ownNodes, join(folderOf(project.nest), project.format.name)),
    };
  });
  return {
    results,
    nodes,
    versions: new Map(nests.map((nest, index) => /** @type {const} */ ([nest, installed[index]]))),
  };
}

/**
 * One project on each Node.
 *
 * @param {Project} project
 * @param {InstalledNode[]} nodes
 * @param {string} folder
 */
async function runCells({ nest, format }, nodes, folder) {
  const compiled = await writeProject(nest, format, folder);
  /** @type {import('./consumers/table.mjs').Cell[]} */
  const cells = [];
  for (const node of nodes) {
    const start = performance.now();
    /** @type {import('./consumers/project.mjs').CellResult} */
    const result = compiled.ok
      ? await runProject(nest, format, node, folder)
      : { outcome: 'fail', output: compiled.output };
    const time = seconds(performance.now() - start);
    console.log(`${result.outcome.padEnd(5)} Nest ${nest.name}, Node ${node.version}, ${format.title} (${time})`);
    if (result.outcome === 'fail') {
      console.log(result.output.replaceAll(/^/gm, '      '));
    }
    cells.push({ node, ...result });
  }
  return cells;
}

/**
 * @template Item
 * @param {Item[]} items
 * @param {(item: Item) => Promise<void>} work
 */
async function inParallel(items, work) {
  const rest = items.values();
  const worker = async () => {
    for (const item of rest) {
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

/**
 * @template Result
 * @param {string} what
 * @param {Promise<Result>} work
 */
async function timed(what, work) {
  const start = performance.now();
  const result = await work;
  console.log(`${what} (${seconds(performance.now() - start)})`);
  return result;
}

/** @param {number} ms */
function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

async function main() {
  if (options.help) {
    console.log(HELP);
    return;
  }
  if (options.save && (options.subset || options.nest || options.node || options.format)) {
    throw new Error('--save is for whole runs: leave --subset, --nest, --node and --format away');
  }
  const folder = await mkdtemp(join(tmpdir(), 'nestjs-ben-udp-consumers-'));
  try {
    const { results, nodes, versions } = await timed('done', runMatrix(selectProjects(), folder));
    const table = formatTable(results, nodes, versions);
    console.log(`\n${table}`);
    if (options.save) {
      await saveTable(options.save, table);
    }
    const cells = results.flatMap((each) => each.cells);
    const count = (/** @type {string} */ outcome) => cells.filter((cell) => cell.outcome === outcome).length;
    console.log(`\n${count('pass')} passed, ${count('fail')} failed, ${count('limit')} can't work`);
    process.exitCode = count('fail') > 0 || cells.length === 0 ? 1 : 0;
  } finally {
    if (options.keep) {
      console.log(`kept: ${folder}`);
    } else {
      await rm(folder, { recursive: true });
    }
  }
}

await main();
