// A transform for asc: inlines each function that has the comment `/* @inline */` directly before it. The comment
// replaces the decorator @inline, because TypeScript (and so every editor) reports a decorator before a function as an
// error. The build fails when such a comment is not before a function.
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
        throw new Error(`${source.normalizedPath}: ${MARK} is not before a function`);
    }
  }
}
