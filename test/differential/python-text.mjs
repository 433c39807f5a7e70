/**
 * Runs the reader and the printer of Python text against CPython: random values, mutated texts, and the claims that
 * docs/python-text.md makes about `literal_eval`. Needs the built package and python3 (3.9 or later).
 *
 *     node test/differential/python-text.mjs [--count 100000] [--mutants 100000] [--seed 1] [--require]
 *
 * Without python3 it says so and exits with 0, with --require 1. It exits with 1 at any difference.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs, types } from 'node:util';

const BATCH = 1000;
const SHOWN = 5;

/**
 * The rules of docs/python-text.md that refuse a text which `literal_eval` reads, each with its possible codes. The Python side finds out
 * which of them a text breaks.
 *
 * @type {Record<string, string[]>}
 */
const DOCUMENTED_REFUSALS = {
  'hex, octal, binary int': ['BAD_NUMBER'],
  'underscore in a number': ['BAD_NUMBER'],
  'zero with leading zeros': ['BAD_NUMBER'],
  'int of more than 640 digits': ['TOO_MANY_DIGITS'],
  'complex number': ['BAD_NUMBER', 'TRAILING', 'UNEXPECTED_CHARACTER'],
  'plus sign': ['UNEXPECTED_CHARACTER'],
  'minus sign apart from its number': ['UNEXPECTED_CHARACTER'],
  Ellipsis: ['UNEXPECTED_CHARACTER'],
  'string prefix other than b': ['UNEXPECTED_NAME'],
  'triple quotes': ['UNEXPECTED_CHARACTER'],
  'adjacent strings': ['TRAILING', 'UNEXPECTED_CHARACTER'],
  'escape that repr never prints': ['BAD_ESCAPE'],
  'control character, not escaped': ['UNEXPECTED_CHARACTER'],
  comment: ['TRAILING', 'UNEXPECTED_CHARACTER'],
  'continued line': ['TRAILING', 'UNEXPECTED_CHARACTER'],
  'tuple without parentheses': ['TRAILING'],
  'set() with white space': ['UNEXPECTED_NAME', 'UNEXPECTED_CHARACTER'],
  'keys that are equal in Python': ['DUPLICATE_KEY'],
};

/** Which claim about `literal_eval` the words before a table of the page make. */
const DOCUMENTED_CLAIMS = [
  { words: '## What `repr` prints', claim: 'prints' },
  { words: '`literal_eval` reads these too.', claim: 'reads' },
  { words: 'Here `literal_eval` is stricter.', claim: 'refuses' },
  { words: '`literal_eval` accepts the following', claim: 'reads' },
  { words: '`literal_eval` refuses these as well.', claim: 'refuses' },
];

/**
 * The other side: one JSON request per line, one JSON answer per line. Both sides write a value in one canonical form, in
 * which 30 and 30.0 are one, as are list and tuple; everything else that differs in Python differs here.
 */
const PYTHON = String.raw`
import ast, io, json, math, random, re, struct, sys, tokenize, warnings

warnings.simplefilter('ignore')
NAN, INF, SAFE = math.nan, math.inf, 2**53 - 1


def canonical(value, hashed=False):
    kind = type(value)
    if value is None or kind is bool:
        return {None: 'null', True: 'true', False: 'false'}[value]
    if kind is int:
        return canonical_float(float(value)) if -SAFE <= value <= SAFE else f'i{value}'
    if kind is float:
        # A Map has no key -0.
        return canonical_float(0.0 if hashed and value == 0 else value)
    if kind is str:
        return 's' + value.encode('utf-16-be', 'surrogatepass').hex()
    if kind in (bytes, bytearray):
        return 'b' + value.hex()
    if kind in (list, tuple):
        return '[' + ','.join(canonical(item) for item in value) + ']'
    if kind is set:
        return '<' + ','.join(sorted(canonical(item, True) for item in value)) + '>'
    if kind is dict:
        if any(type(key) in (tuple, bytes) for key in value):
            return 'map{' + ','.join(sorted(canonical(key, True) + ':' + canonical(item) for key, item in value.items())) + '}'
        # The keys as json.dumps writes them; of two with one name the last wins.
        record = {name_of(key): item for key, item in value.items()}
        return '{' + ','.join(sorted(canonical(key) + ':' + canonical(item) for key, item in record.items())) + '}'
    return f'unsupported {kind.__name__}'


def name_of(key):
    return key if type(key) is str else next(iter(json.loads(json.dumps({key: 0}))))


def canonical_float(value):
    return 'n' + ('7ff8000000000000' if value != value else struct.pack('>d', value).hex())


def survives(value, hashed=False):
    """Whether reading and printing gives back the text of this value to the letter."""
    kind = type(value)
    if kind is float:
        return not (value.is_integer() and abs(value) <= SAFE) or (str(value) == '-0.0' and not hashed)
    if kind is str:
        return value.encode('utf-16', 'surrogatepass').decode('utf-16', 'surrogatepass') == value
    if kind is list:
        return all(map(survives, value))
    if kind is tuple:
        return hashed and all(survives_in_key(item) for item in value)
    if kind is set:
        return all(survives(item, True) for item in value)
    if kind is dict:
        if any(type(key) in (tuple, bytes) for key in value):
            return all(survives(key, True) and survives(item) for key, item in value.items())
        return keeps_order(value) and all(type(key) is str and survives(key) and survives(item) for key, item in value.items())
    return kind is not bytearray


def survives_in_key(value):
    return survives(value, type(value) is tuple)


def keeps_order(value):
    """JavaScript objects list the keys that look like an array index first."""
    if not all(type(key) is str for key in value):
        return True
    indices = [int(key) for key in value if re.fullmatch(r'(?a:0|[1-9]\d{0,9})', key) and int(key) < 2**32 - 1]
    return list(map(str, sorted(indices))) == list(value)[:len(indices)]


class Generator:
    ASCII = ''.join(map(chr, range(32, 127)))
    RANGES = [(0x20, 0x7e), (0, 0x1f), (0x7f, 0xff), (0x100, 0xd7ff), (0xd800, 0xdfff), (0xe000, 0xffff), (0x10000, 0x10ffff)]
    WORDS = ['', '__proto__', 'constructor', 'toString', '0', '10', '01', '4294967295', 'temperature', "it's", '"both\'"']
    FLOATS = [0.0, -0.0, INF, -INF, NAN, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e-4, 1e16, 1e21, 1e22, 0.1, 30.0]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def value(self, depth=4):
        r = self.random
        if depth == 0 or r.random() < (0.2 if depth == 4 else 0.5):
            return bytearray(self.bytes()) if r.random() < 0.05 else self.scalar()
        kind, size = r.randrange(5), min(int(r.expovariate(0.4)), 12)
        if kind == 0:
            return [self.value(depth - 1) for _ in range(size)]
        if kind == 1:
            return tuple(self.value(depth - 1) for _ in range(size))
        if kind == 2:
            return {self.hashable() for _ in range(size)}
        if kind == 3:
            return {self.hashable(): self.value(depth - 1) for _ in range(size)}
        return {self.string(): self.value(depth - 1) for _ in range(size)}

    def nested(self, levels):
        value = self.scalar()
        for _ in range(levels):
            kind = self.random.randrange(4)
            value = [value] if kind == 0 else (value,) if kind == 1 else {self.string(): value} if kind == 2 else {1: value}
        return value

    def any(self):
        return self.nested(self.random.randint(1, 32)) if self.random.random() < 0.02 else self.value()

    def hashable(self, depth=2):
        if depth and self.random.random() < 0.2:
            return tuple(self.hashable(depth - 1) for _ in range(self.random.randrange(4)))
        return self.scalar()

    def scalar(self):
        r = self.random
        return r.choice((lambda: r.choice((None, True, False)), self.int, self.float, self.float, self.string, self.bytes))()

    def int(self):
        r = self.random
        sign = r.choice((1, -1))
        kind = r.randrange(5)
        if kind == 0:
            return sign * r.randrange(1000)
        if kind == 1:
            return sign * r.getrandbits(r.randint(1, 64))
        if kind == 2:
            return sign * (2**53 + r.randint(-3, 3))
        if kind == 3:
            return sign * 2**r.randint(0, 200)
        return sign * r.randrange(10**r.randint(1, 600))

    def float(self):
        r = self.random
        kind = r.randrange(7)
        if kind == 0:
            value = struct.unpack('>d', r.randbytes(8))[0]
        elif kind == 1:
            value = struct.unpack('>d', struct.pack('>Q', r.getrandbits(1) << 63 | r.getrandbits(r.randint(1, 52))))[0]
        elif kind == 2:
            value = round(r.uniform(-200, 200), r.randint(0, 4))
        elif kind == 3:
            value = math.nextafter(float(f'{r.choice("-+")}1e{r.randint(-330, 308)}'), r.choice((INF, -INF)))
        elif kind == 4:
            value = float(f'{r.choice("-+")}{r.randint(1, 9999)}e{r.randint(-30, 30)}')
        elif kind == 5:
            value = float(r.choice((1, -1)) * (2**r.randint(50, 70) + r.randint(-9, 9)))
        else:
            value = r.choice(self.FLOATS)
        # One object, so that it is one key, as it is here.
        return NAN if value != value else value

    def string(self):
        r = self.random
        kind = r.randrange(6)
        if kind == 0:
            return r.choice(self.WORDS)
        size = min(int(r.expovariate(0.15)), 60)
        if kind == 1:
            return ''.join(r.choices(self.ASCII, k=size))
        if kind == 2:
            return ''.join(r.choices('\'"\\ nrtxuU0\n', k=size))
        ranges = self.RANGES if kind == 3 else [r.choice(self.RANGES)]
        return ''.join(chr(r.randint(*r.choice(ranges))) for _ in range(size))

    def bytes(self):
        r = self.random
        size = min(int(r.expovariate(0.15)), 60)
        return r.randbytes(size) if r.random() < 0.5 else bytes(r.choices(b'\'"\\ nrtx\n\x00~', k=size))


class Mutator(Generator):
    TOKENS = (
        "[ ] ( ) { } , : . ... - -- + ' \" ''' \\ # _ e j b r u f B 0 00 0x1f 0b1 0o7 1_0 1j 2.5 .5 5. 01.5 1e5 1e400 -0 "
        "None True nan -nan inf -inf set() frozenset() set (1) (1,) 'a' b'a' \"c\" r'a' '''a''' 'a':1 1:2 True:3 1.0:4 bytearray(b'a') bytearray( "
        "\\x41 \\x4 \\u20ac \\U0001f600 \\U00110000 \\N{DIGIT\u0020ONE} \\0 \\a \\n \\q \u00e9 \u20ac \U0001f600"
    ).split(' ') + [' ', '\t', '\n', '\r', '\x0b', '\x0c', '\x00', '\x7f', '\x1f', '# c\n', '\\\n', 'set ()', ', ', ' + 2j', '- 1']

    def __init__(self, seed, texts):
        super().__init__(seed)
        self.texts = texts

    def mutant(self):
        text = self.base()
        for _ in range(self.random.choice((1, 1, 1, 1, 2, 3))):
            text = self.mutate(text)
        return text

    def base(self):
        r = self.random
        kind = r.random()
        if kind < 0.2:
            return r.choice(self.texts)
        value = self.value(r.choice((1, 1, 2, 3)))
        return repr(value) if kind < 0.6 else ascii(value)

    def mutate(self, text):
        r = self.random
        at = r.randint(0, len(text))
        end = min(len(text), at + int(r.expovariate(0.3)))
        kind = r.randrange(6)
        if kind == 0:
            return text[:at] + text[end:]
        if kind == 1:
            return text[:end] + text[at:end] + text[end:]
        if kind == 2:
            return text[:at] + self.base() + text[end:]
        if kind == 3:
            return text[:at] + r.choice(text or ' ') + text[at + 1:]
        return text[:at] + r.choice(self.TOKENS) + text[at if kind == 4 else end:]


def read(text):
    """What literal_eval makes of a text."""
    try:
        return canonical(ast.literal_eval(text))
    except Exception:
        return None


class Names(ast.NodeTransformer):
    """Puts values for nan and inf, with or without a minus sign, and for bytearray(b'...')."""
    VALUES = {'nan': NAN, 'inf': INF}

    def __init__(self, text):
        self.text = text

    def visit_Call(self, node):
        source = ast.get_source_segment(self.text, node) or ''
        argument = source[len('bytearray('):-1]
        if source.startswith('bytearray(') and len(node.args) == 1 and is_bytes_literal(argument):
            return ast.Constant(bytearray(node.args[0].value))
        return node

    def visit_Name(self, node):
        return ast.Constant(self.VALUES[node.id]) if node.id in self.VALUES else node

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Name) and node.operand.id in self.VALUES:
            return ast.Constant(NAN if node.operand.id == 'nan' else -INF)
        return self.generic_visit(node)


def is_bytes_literal(text):
    """Whether a text is one bytes literal that repr might print, and nothing else."""
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.STRING]
    return text.startswith('b') and [token.string for token in tokens] == [text] and not list(broken_by_string(text))


def read_more(text):
    """The same with the documented extensions: white space around an indented literal, bare nan and inf, bytearray(b'...')."""
    text = text.strip(' \t\n\f\r')
    try:
        return read(text) or canonical(ast.literal_eval(Names(text).visit(ast.parse(text, mode='eval'))))
    except Exception:
        return None


def broken_rules(text):
    """Which of the documented rules a text breaks that literal_eval reads."""
    # Python itself reads every line break as a line feed; its tokenize module does not.
    text = re.sub('\r\n?', '\n', text.lstrip(' \t'))
    rules = set()
    previous, depth, between = None, 0, text
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind, string = token.type, token.string
        if kind in (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            continue
        if kind == tokenize.COMMENT:
            rules.add('comment')
            continue
        if kind == tokenize.NUMBER:
            rules.update(broken_by_number(string))
        if kind == tokenize.STRING:
            rules.update(broken_by_string(string))
            between = between.replace(string, ' ', 1)
            if previous and previous.type == tokenize.STRING:
                rules.add('adjacent strings')
        if previous and previous.string == '-' and not (kind == tokenize.NUMBER and previous.end == token.start):
            rules.add('minus sign apart from its number')
        if string == '+':
            rules.add('plus sign')
        if string == '...':
            rules.add('Ellipsis')
        if kind == tokenize.OP:
            depth += (string in '([{') - (string in ')]}')
            if string == ',' and depth == 0:
                rules.add('tuple without parentheses')
        previous = token
    if '\\\n' in between:
        rules.add('continued line')
    for node in ast.walk(ast.parse(text, mode='eval')):
        if isinstance(node, ast.Call) and (node.lineno, node.end_col_offset - node.col_offset) != (node.end_lineno, 5):
            rules.add('set() with white space')
        if isinstance(node, ast.Dict) and len({ast.literal_eval(key) for key in node.keys}) < len(node.keys):
            rules.add('keys that are equal in Python')
    return sorted(rules)


def broken_by_number(string):
    if re.match('0[xXoObB]', string):
        yield 'hex, octal, binary int'
    if '_' in string:
        yield 'underscore in a number'
    if re.fullmatch('0[0_]+', string):
        yield 'zero with leading zeros'
    if string[-1] in 'jJ':
        yield 'complex number'
    if len(string) > 640 and string.isdecimal():
        yield 'int of more than 640 digits'


def broken_by_string(string):
    prefix, body = re.fullmatch('(?s)([a-zA-Z]*)(.*)', string).groups()
    if prefix not in ('', 'b'):
        yield 'string prefix other than b'
    if body[:3] in ("'''", '"""'):
        yield 'triple quotes'
    if re.search('[\x00-\x1f\x7f]', body):
        yield 'control character, not escaped'
    known = '\\\'"nrtx' if 'b' in prefix else '\\\'"nrtxuU'
    if any(escape[1] not in known for escape in re.findall(r'(?s)\\.', body)):
        yield 'escape that repr never prints'


def judge(text):
    value = read(text)
    if value is None:
        return [text, None, read_more(text), 'nan or inf' if read(text.strip(' \t\n\f\r')) is None else 'an indented line']
    return [text, value, None, broken_rules(text)]


def printed(text):
    """Whether repr or ascii prints this text."""
    value = ast.literal_eval(text)
    return text in (repr(value), ascii(value))


def answer(request):
    op, seed, count, texts = (request.get(key) for key in ('op', 'seed', 'count', 'texts'))
    if op == 'values':
        values = (generator.any() for generator in [Generator(seed)] for _ in range(count))
        return [[repr(value), ascii(value), canonical(value), survives(value)] for value in values]
    if op == 'mutants':
        mutator = Mutator(seed, texts)
        return [judge(mutator.mutant()) for _ in range(count)]
    return [{'read': read_more, 'judge': judge, 'printed': printed}[op](text) for text in texts]


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
`;

const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '100000' },
    mutants: { type: 'string' },
    seed: { type: 'string', default: '1' },
    require: { type: 'boolean', default: false },
  },
});
const [count, mutantCount, seed] = [options.count, options.mutants ?? options.count, options.seed].map(Number);
if (![count, mutantCount, seed].every(Number.isSafeInteger)) {
  console.error('--count, --mutants and --seed are whole numbers');
  process.exit(1);
}

const { stdout: version, status } = spawnSync('python3', ['--version'], { encoding: 'utf8' });
if (status !== 0) {
  console.log('skipped: no python3');
  process.exit(options.require ? 1 : 0);
}

const { parsePythonText, printPythonText } = await import('#lib/protocol/index.js').catch(() => {
  console.error('no built package: run `npm run build` first');
  process.exit(1);
});

/**
 * What `PYTHON` says of a text: the text, its value, its value with the two extensions, and the rules that it breaks.
 *
 * @typedef {[text: string, expected: string | null, extended: string | null, reasons: string[]]} Judgement
 *
 * A value as Python prints it, its canonical form, and whether it is printed the same here.
 *
 * @typedef {[repr: string, ascii: string, expected: string, survives: boolean]} Case
 */

/** @type {object[]} */
const differences = [];
/** @type {Map<string, number>} */
const counts = new Map();
const started = performance.now();

const python = startPython();
const documented = readPage();
await checkPage(documented);
for (let first = 0; first < count; first += BATCH) {
  await checkValues(Math.min(BATCH, count - first), `${seed}.${first}`);
}
for (let first = 0; first < mutantCount; first += BATCH) {
  await checkMutants(Math.min(BATCH, mutantCount - first), `${seed}.${first}.mutants`);
}
python.end();
report();

/** Every text of the page, with the claim of the page about it. */
function readPage() {
  const page = readFileSync(new URL('../../docs/python-text.md', import.meta.url), 'utf8');
  return DOCUMENTED_CLAIMS.flatMap(({ words, claim }) => {
    const [, table] = /\n\n(\|(?:.*\n)+?)\n/.exec(page.slice(page.indexOf(words))) ?? [];
    if (!page.includes(words) || !table) {
      throw new Error(`docs/python-text.md has no table behind: ${words}`);
    }
    const [head, , ...rows] = table.split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
    return rows
      .flatMap((cells) => Array.from((cells[head.indexOf('text')] ?? '').matchAll(/`([^`]+)`/g), ([, text]) => text))
      .map((text) => ({ text: text.replaceAll('⏎', '\n').replaceAll('⇥', '\t'), claim }));
  });
}

/** @param {ReturnType<typeof readPage>} rows */
async function checkPage(rows) {
  const batch = 'docs/python-text.md';
  const judgements = await python.ask({ op: 'judge', texts: rows.map(({ text }) => text) });
  for (const [index, judgement] of judgements.entries()) {
    const { text, claim } = rows[index];
    const value = judgement[1];
    add('texts of docs/python-text.md');
    checkJudgement(judgement, batch);
    if ((value !== null) !== (claim !== 'refuses')) {
      differ({ batch, text, claim: `literal_eval ${claim} it`, python: value });
    }
  }
  const texts = rows.filter(({ claim }) => claim === 'prints').map(({ text }) => text);
  const answers = await python.ask({ op: 'printed', texts });
  for (const text of texts.filter((_text, index) => !answers[index])) {
    differ({ batch, text, claim: 'repr or ascii prints it' });
  }
}

/**
 * Reads the texts that Python printed, and lets Python read those printed here.
 *
 * @param {number} size
 * @param {string} batch
 */
async function checkValues(size, batch) {
  const cases = await python.ask({ op: 'values', seed: batch, count: size });
  const printed = cases.map(([repr, ascii, expected, survives]) => {
    for (const [name, text] of Object.entries({ repr, ascii })) {
      add(`values read from their ${name}()`);
      const ours = canonicalOutcome(tryParse(text));
      if (ours !== expected) {
        differ({ batch, text, python: expected, ours });
      }
    }
    const text = tryPrint(tryParse(repr).value);
    if (survives) {
      add('values printed to the letter as ascii() prints them');
      if (text !== ascii) {
        differ({ batch, python: ascii, ours: text });
      }
    }
    return text;
  });
  const answers = await python.ask({ op: 'read', texts: printed });
  for (const [index, answer] of answers.entries()) {
    const [, , expected] = cases[index];
    add('values printed, and read by Python');
    if (answer !== expected) {
      differ({ batch, printed: printed[index], expected, python: answer });
    }
  }
}

/**
 * @param {number} size
 * @param {string} batch
 */
async function checkMutants(size, batch) {
  const texts = documented.map(({ text }) => text);
  const judgements = await python.ask({ op: 'mutants', seed: batch, count: size, texts });
  for (const judgement of judgements) {
    add('mutants');
    for (const outcome of checkJudgement(judgement, batch)) {
      add(`mutants ${outcome}`);
    }
  }
}

/**
 * Both read the same, except for two extensions. A text that only Python reads breaks a documented rule.
 *
 * @param {Judgement} judgement
 * @param {string} batch
 * @returns what to count the text as.
 */
function checkJudgement([text, expected, extended, reasons], batch) {
  const outcome = tryParse(text);
  const ours = canonicalOutcome(outcome);
  if (!outcome.error) {
    if (ours !== (expected ?? extended)) {
      differ({ batch, text, python: expected ?? extended, ours });
    }
    return [expected === null ? `read here only: ${reasons}` : 'read by both, as the same value'];
  }
  if (expected === null) {
    return ['refused by both'];
  }
  const { code = '' } = outcome.error;
  const broken = reasons.filter((rule) => DOCUMENTED_REFUSALS[rule]?.includes(code.replace('BEN_TEXT_', '')));
  if (broken.length === 0) {
    differ({ batch, text, python: expected, ours, reasons });
  }
  return [`read by Python only: ${code}`, ...broken.map((rule) => `read by Python only, because of: ${rule}`)];
}

/**
 * @param {string} text
 * @returns {{ value?: import('#lib/protocol/index.js').BenUdpValue, error?: NodeJS.ErrnoException & { position?: number } }}
 */
function tryParse(text) {
  try {
    return { value: parsePythonText(text) };
  } catch (error) {
    return { error: /** @type {NodeJS.ErrnoException} */ (error) };
  }
}

/** @param {unknown} value */
function tryPrint(value) {
  try {
    return printPythonText(value);
  } catch (error) {
    return String(error);
  }
}

/** @param {ReturnType<typeof tryParse>} outcome */
function canonicalOutcome({ value, error }) {
  if (!error) {
    return canonical(value);
  }
  return error.name === 'BenUdpProtocolError' ? `${error.code} at ${error.position}` : `BUG: ${error.stack}`;
}

/**
 * The form described at `PYTHON`; anything that the reader must not return becomes `unsupported`.
 *
 * @param {unknown} value
 * @returns {string}
 */
function canonical(value) {
  switch (typeof value) {
    case 'boolean':
      return String(value);
    case 'number':
      return `n${canonicalNumber(value)}`;
    case 'bigint':
      return `i${value}`;
    case 'string':
      return `s${Buffer.from(value, 'utf16le').swap16().toString('hex')}`;
  }
  if (value === null) {
    return 'null';
  }
  if (Buffer.isBuffer(value)) {
    return `b${value.toString('hex')}`;
  }
  if (Array.isArray(value)) {
    return `[${value.map(canonical).join(',')}]`;
  }
  if (types.isSet(value)) {
    return `<${Array.from(value, canonical).toSorted().join(',')}>`;
  }
  if (types.isMap(value)) {
    return `map${canonicalPairs(Array.from(value))}`;
  }
  return typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype
    ? canonicalPairs(Object.entries(value))
    : `unsupported ${typeof value}`;
}

/** @param {[unknown, unknown][]} pairs */
function canonicalPairs(pairs) {
  return `{${pairs
    .map(([key, value]) => `${canonical(key)}:${canonical(value)}`)
    .toSorted()
    .join(',')}}`;
}

/** @param {number} value */
function canonicalNumber(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return Number.isNaN(value) ? '7ff8000000000000' : bytes.toString('hex');
}

/**
 * What Python answers to each operation.
 *
 * @typedef {object} Answers
 * @property {Judgement[]} judge
 * @property {Judgement[]} mutants
 * @property {boolean[]} printed whether repr or ascii prints each text
 * @property {string[]} read
 * @property {Case[]} values
 */

/** One python3 for the whole run. */
function startPython() {
  // The hash seed decides the order in which sets are printed.
  const env = { ...process.env, PYTHONHASHSEED: '0' };
  const child = spawn('python3', ['-c', PYTHON], { stdio: ['pipe', 'pipe', 'inherit'], env });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    /**
     * @template {keyof Answers} Op
     * @param {{ op: Op } & Record<string, unknown>} request
     * @returns {Promise<Answers[Op]>}
     */
    async ask(request) {
      if (!child.stdin.write(`${JSON.stringify(request)}\n`)) {
        await once(child.stdin, 'drain');
      }
      const { value, done } = await lines.next();
      if (done) {
        throw new Error('python3 ended early');
      }
      return JSON.parse(value);
    },
    end: () => child.stdin.end(),
  };
}

/** @param {string} what */
function add(what) {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

/** @param {object} difference */
function differ(difference) {
  differences.push(difference);
}

function report() {
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${version.trim()}, seed ${seed}, ${seconds} s`);
  for (const [what, times] of Array.from(counts).toSorted()) {
    console.log(`${String(times).padStart(8)}  ${what}`);
  }
  for (const difference of differences.slice(0, SHOWN)) {
    console.log(JSON.stringify(difference, undefined, 2));
  }
  console.log(`${differences.length} differences`);
  process.exitCode = differences.length === 0 ? 0 : 1;
}
