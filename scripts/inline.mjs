// A transform of asc: a function with the comment `/* @inline */` right before it is inlined, as with the decorator @inline, which
// TypeScript (and so every editor) takes for an error before a function. A comment that stands before no function fails the build.
import { Node, NodeKind } from 'assemblyscript';
import { Transform } from 'assemblyscript/transform';

const MARK = '/* @inline */';

export default class Inline extends Transform {
  afterParse(parser) {
    for (const source of parser.sources) {
      if (source.isLibrary || !source.text.includes(MARK)) continue;
      let marked = 0;
      for (const statement of source.statements) {
        if (
          statement.kind !== NodeKind.FunctionDeclaration ||
          !source.text.slice(0, statement.range.start).trimEnd().endsWith(MARK)
        )
          continue;
        const name = Node.createIdentifierExpression('inline', statement.range);
        statement.decorators = [...(statement.decorators ?? []), Node.createDecorator(name, null, statement.range)];
        marked += 1;
      }
      if (marked !== source.text.split(MARK).length - 1)
        throw new Error(`${source.normalizedPath}: ${MARK} before what is no function`);
    }
  }
}
