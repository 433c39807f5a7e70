/** Reads interfaces from the sources of the library, so pages can be compared with them. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { BenUdpMemoryResultStore } from '../../lib/server/index.js';
import { root } from './pages.js';

export interface Member {
  readonly name: string;
  readonly type: string;
  /** The docstring. */
  readonly meaning: string;
}

const lib = join(root, 'lib');

const FILES = readdirSync(lib, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => ts.createSourceFile(file, readFileSync(join(lib, file), 'utf8'), ts.ScriptTarget.ESNext, true));

/** The members of an interface, inherited ones first. */
export function readMembers(name: string): Member[] {
  for (const file of FILES) {
    const declaration = file.statements.find(
      (each): each is ts.InterfaceDeclaration => ts.isInterfaceDeclaration(each) && each.name.text === name,
    );
    if (declaration) {
      const inherited = (declaration.heritageClauses ?? [])
        .flatMap(({ types }) => types)
        .flatMap((type) => readMembers(type.expression.getText(file)));
      return [
        ...inherited,
        ...declaration.members.filter(ts.isPropertySignature).map((member) => readMember(member, file)),
      ];
    }
  }
  throw new Error(`no interface ${name} in lib`);
}

function readMember(member: ts.PropertySignature, file: ts.SourceFile): Member {
  const meaning = ts
    .getJSDocCommentsAndTags(member)
    .map(({ comment }) => ts.getTextOfJSDocComment(comment) ?? '')
    .join(' ');
  return {
    name: member.name.getText(file),
    type: member.type!.getText(file).replaceAll(/\s+/g, ' '),
    meaning: meaning.replaceAll(/\s+/g, ' ').trim(),
  };
}

/** A default as the tables of the pages show it. */
export function formatDefault(value: unknown): string {
  if (value instanceof BenUdpMemoryResultStore) {
    return '`new BenUdpMemoryResultStore()`';
  }
  return value === undefined ? '–' : `\`${typeof value === 'string' ? `'${value}'` : JSON.stringify(value)}\``;
}
