/** The library as JavaScript in a folder of its own. A process of its own needs it, because plain node can't read TypeScript. */
import { mkdir, mkdtemp, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A new folder with `lib/` and `node_modules/` in it; to be removed by who asked for it. */
export async function compileLib(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ben-udp-'));
  const lib = join(root, 'lib');
  const files = (await readdir(lib, { recursive: true })).filter((file) => file.endsWith('.ts'));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const file of files) {
    const source = await readFile(join(lib, file), 'utf8');
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, isolatedModules: true },
    });
    const path = join(folder, 'lib', file.replace(/\.ts$/, '.js'));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, outputText);
  }
  return folder;
}
