/**
 * Reads the `.http` files of `examples/`, in the dialect that editors play: `###` starts a request, `# @name x` names it, `@x = …` is a
 * variable, `{{x}}` stands for a value. Three directives are ours: `# @token x = caller key=value …` says what a token carries,
 * `# @at 2026-03-02T09:00:00Z` sets the server's clock before a request, and `# @wait 5` lets so many seconds of the machine pass, in which
 * the server does what its clock tells it.
 */

/** A token that a story defines: whose it is, and how it differs from their plain one. */
export type TokenLine = { readonly caller: string; readonly members: Readonly<Record<string, unknown>> };

/** One request of a story, its `{{…}}` not yet replaced. */
export type HttpRequest = {
  readonly title: string;
  readonly name: string | undefined;
  /** The instant that the server's clock is set to first, as written. */
  readonly at: string | undefined;
  /** Seconds of the machine to wait first. */
  readonly wait: number;
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string | undefined;
};

/** A story: what is defined anywhere in the file, and its requests in order. */
export type HttpFile = {
  readonly variables: ReadonlyMap<string, string>;
  readonly tokens: ReadonlyMap<string, TokenLine>;
  readonly requests: readonly HttpRequest[];
};

const REQUEST_LINE = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (\S+)$/;
const MEMBER = /([a-zA-Z]+)=("(?:[^"\\]|\\.)*"|\{.*\}|\S+)/g;

/** `dr-chloe purpose=BTG patient=camille reason="…"`: JSON where a value is JSON, a word where it is a word. */
function parseToken(text: string): TokenLine {
  const [caller = '', ...rest] = text.split(' ');
  const members: Record<string, unknown> = {};
  for (const [, key = '', value = ''] of rest.join(' ').matchAll(MEMBER))
    members[key] = /^(["{]|true$|false$|-?\d+$)/.test(value) ? JSON.parse(value) : value;
  return { caller, members };
}

function parseRequest(block: string): HttpRequest | undefined {
  const lines = block.split('\n');
  const title = (lines[0] ?? '').trim();
  const directive = (name: string): string | undefined =>
    lines.map((line) => new RegExp(`^# @${name} (\\S+)$`).exec(line.trim())?.[1]).find((found) => found !== undefined);
  const code = lines.slice(1).filter((line, index, all) => !isRemark(line) || insideBody(all, index));
  const first = code.findIndex((line) => line.trim() !== '');
  if (first < 0) return undefined;
  const [, method = '', path = ''] = REQUEST_LINE.exec(code[first]?.trim() ?? '') ?? [];
  if (method === '') throw new Error(`\`${title}\`: \`${code[first]}\` is not a request line`);
  let at = first + 1;
  let url = path;
  // a query may go on over indented lines that start with `?` or `&`
  for (; /^\s+[?&]/.test(code[at] ?? ''); at += 1) url += code[at]?.trim();
  const headers: (readonly [string, string])[] = [];
  for (; at < code.length && code[at]?.trim() !== ''; at += 1) {
    const [, name = '', value = ''] = /^([A-Za-z-]+):\s*(.*)$/.exec(code[at] ?? '') ?? [];
    if (name === '') throw new Error(`\`${title}\`: \`${code[at]}\` is not a header`);
    headers.push([name, value.trim()]);
  }
  const body = code.slice(at).join('\n').trim();
  return {
    title,
    name: directive('name'),
    at: directive('at'),
    wait: Number(directive('wait') ?? 0),
    method,
    url,
    headers,
    body: body === '' ? undefined : body,
  };
}

const isRemark = (line: string): boolean => /^(#|\/\/|@\w)/.test(line);
/** After the empty line that ends the headers, every line is content. */
const insideBody = (lines: readonly string[], index: number): boolean => {
  const start = lines.findIndex((line) => REQUEST_LINE.test(line.trim()));
  if (start < 0 || index <= start) return false;
  const blank = lines.findIndex((line, at) => at > start && line.trim() === '');
  return blank >= 0 && index > blank;
};

/** Parses a story; throws a sentence that names the block it cannot read. */
export function parseHttpFile(text: string): HttpFile {
  const lines = text.replaceAll('\r\n', '\n').split('\n');
  const variables = new Map<string, string>();
  const tokens = new Map<string, TokenLine>();
  for (const line of lines) {
    const [, name, value] = /^@([\w-]+)\s*=\s*(.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) variables.set(name, value.trim());
    const [, token, definition] = /^# @token ([\w-]+) = (.*)$/.exec(line) ?? [];
    if (token !== undefined && definition !== undefined) tokens.set(token, parseToken(definition.trim()));
  }
  const [, ...blocks] = `\n${lines.join('\n')}`.split(/\n###/);
  return { variables, tokens, requests: blocks.map(parseRequest).filter((r) => r !== undefined) };
}

/** Replaces each `{{name}}` by what `value` says; a value may itself hold some. */
export function substitute(text: string, value: (name: string) => string, depth = 0): string {
  if (depth > 5) throw new Error('variables that go round in circles');
  return text.replace(/\{\{([^{}]+)\}\}/g, (_, name: string) => substitute(value(name.trim()), value, depth + 1));
}
