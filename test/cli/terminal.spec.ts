import { describe, expect, it } from 'vitest';
import { Terminal, type TextStream } from '../../lib/cli/terminal.js';

class FakeStream implements TextStream {
  text = '';

  constructor(
    readonly isTTY: boolean,
    private readonly colours: boolean,
  ) {}

  hasColors(): boolean {
    return this.colours;
  }

  write(text: string): void {
    this.text += text;
  }
}

describe('Terminal', () => {
  it('colours the beginning of a line on a terminal with colours', () => {
    const stream = new FakeStream(true, true);
    new Terminal(stream, stream).out('WRONG  port', { format: 'red', length: 5 });
    expect(stream.text).toBe('\u001b[31mWRONG\u001b[39m  port\n');
  });

  it.each([
    ['a terminal with NO_COLOR', new FakeStream(true, false)],
    ['a file', new FakeStream(false, true)],
  ])('writes no colour to %s', (_name, stream) => {
    new Terminal(stream, stream).err('WRONG  port', { format: 'red' });
    expect(stream.text).toBe('WRONG  port\n');
  });

  it('decides for each stream', () => {
    const [stdout, stderr] = [new FakeStream(false, false), new FakeStream(true, true)];
    const terminal = new Terminal(stdout, stderr);
    terminal.out('a', { format: 'bold' });
    terminal.err('b', { format: 'bold' });
    expect([stdout.text, stderr.text]).toEqual(['a\n', '\u001b[1mb\u001b[22m\n']);
  });

  it('replaces a line of progress on a terminal', () => {
    const stream = new FakeStream(true, false);
    const terminal = new Terminal(stream, stream);
    terminal.progress('1 of 2');
    terminal.progress('2 of 2');
    terminal.out('done');
    terminal.end();
    expect(stream.text).toBe('\r\u001b[K1 of 2\r\u001b[K2 of 2\r\u001b[Kdone\n');
  });

  it('writes each line of progress to a file', () => {
    const stream = new FakeStream(false, false);
    const terminal = new Terminal(stream, stream);
    terminal.progress('1 of 2');
    terminal.end();
    expect(stream.text).toBe('1 of 2\n');
  });
});
