/** `_pretty=true` (R4 http.html#parameters): blanks between the tokens of a JSON text; the tokens stay as they are, decimals too. */

const STRING_OR_MARK = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^"{}[\],:\s]+/g;

/** The same JSON, indented by two blanks; `text` is valid JSON. */
export function pretty(text: string): string {
  const parts: string[] = [];
  let indent = '\n';
  let previous = '';
  for (const [token] of text.matchAll(STRING_OR_MARK)) {
    const closes = token === '}' || token === ']';
    if (closes) indent = indent.slice(0, -2);
    const opened = previous === '{' || previous === '[';
    // Empty objects and arrays stay on one line.
    if (closes ? !opened : opened || previous === ',') parts.push(indent);
    parts.push(token);
    if (token === ':') parts.push(' ');
    if (token === '{' || token === '[') indent += '  ';
    previous = token;
  }
  return parts.join('');
}
