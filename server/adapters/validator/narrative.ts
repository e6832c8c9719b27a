/**
 * `Narrative.div`: the XHTML subset of R4 2.4 (txt-1) with some content (txt-2). https://hl7.org/fhir/R4/narrative.html#xhtml
 *
 * One pass with one pattern for each tag, no XML parser: no entity is expanded and no document is fetched. Scripts, forms, event attributes,
 * links to `javascript:` and everything that is not on the list is refused when written, so that nobody has to be trusted to clean it when read.
 */

const ELEMENTS: ReadonlySet<string> = new Set(
  (
    'a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre q samp ' +
    'small span strong sub sup table tbody td tfoot th thead tr tt ul var'
  ).split(' '),
);

const ATTRIBUTES: ReadonlySet<string> = new Set(
  (
    'abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset cite class colspan ' +
    'compact coords dir frame headers height href hreflang hspace id lang longdesc name noshade nowrap rel rev rowspan rules scope shape span ' +
    'src start style summary tabindex title type valign value vspace width xml:lang xmlns'
  ).split(' '),
);

const XHTML = 'http://www.w3.org/1999/xhtml';
const TAG = /<(\/?)([A-Za-z][A-Za-z0-9]*)((?:\s+[A-Za-z_:][-A-Za-z0-9_:.]*\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>/y;
const ATTRIBUTE = /([A-Za-z_:][-A-Za-z0-9_:.]*)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
const URL_ATTRIBUTES: ReadonlySet<string> = new Set(['href', 'src', 'cite', 'longdesc']);
const PLAIN_URL = /^(?:https?:|ftp:|mailto:|tel:|urn:|#|data:\s*image\/(?:png|jpeg|gif)[;,]|[^:]*$)/i;

/** XML has five entities, and references to characters; no HTML entity is one (R4 narrative.html). */
const BROKEN_REFERENCE = /&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: no XML document may hold these.
const NO_CHARACTER = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;

const attributeFault = (tag: string, attributes: string): string | undefined => {
  for (const [, name = '', double, single] of attributes.matchAll(ATTRIBUTE)) {
    const key = name.toLowerCase();
    if (!ATTRIBUTES.has(key)) return `the attribute \`${name}\` is not allowed on \`${tag}\` (txt-1)`;
    const value = double ?? single ?? '';
    // Character references could spell a scheme that this pattern does not see.
    if (URL_ATTRIBUTES.has(key) && (value.includes('&#') || !PLAIN_URL.test(value.trim())))
      return `the attribute \`${name}\` of \`${tag}\` has an address that is not allowed (txt-1)`;
  }
  return undefined;
};

/** What is wrong with the XHTML of a narrative, `undefined` when nothing is. */
export const narrativeFault = (div: string): string | undefined => {
  const text = div.trim();
  if (BROKEN_REFERENCE.test(text)) return 'in XHTML, `&` begins `&amp;` or another entity of XML (txt-1)';
  if (NO_CHARACTER.test(text)) return 'the narrative contains a control character (txt-1)';
  const open: string[] = [];
  let content = false;
  let at = 0;
  while (at < text.length) {
    const next = text.indexOf('<', at);
    const end = next === -1 ? text.length : next;
    if (end > at) {
      if (open.length === 0) return 'the narrative is one `div` (txt-1)';
      content ||= text.slice(at, end).trim() !== '';
    }
    if (next === -1) break;
    if (text.startsWith('<!--', next)) {
      const close = text.indexOf('-->', next + 4);
      if (close === -1 || open.length === 0) return 'the narrative is not well-formed XHTML (txt-1)';
      at = close + 3;
      continue;
    }
    TAG.lastIndex = next;
    const [whole, closing, name = '', attributes = '', empty] = TAG.exec(text) ?? [];
    if (whole === undefined) return 'the narrative is not well-formed XHTML (txt-1)';
    if (!ELEMENTS.has(name)) return `the element \`${name}\` is not allowed in a narrative (txt-1)`;
    if (closing === '/') {
      if (open.pop() !== name || attributes !== '') return 'the narrative is not well-formed XHTML (txt-1)';
    } else {
      if (open.length === 0 && (next !== 0 || name !== 'div')) return 'the narrative is one `div` (txt-1)';
      if (open.length === 0 && !attributes.includes(XHTML))
        return 'the `div` of a narrative is in the XHTML namespace (txt-1)';
      const fault = attributeFault(name, attributes);
      if (fault !== undefined) return fault;
      content ||= name === 'img';
      if (empty !== '/') open.push(name);
    }
    at = next + whole.length;
    if (open.length > 200) return 'the narrative is nested too deep (txt-1)';
  }
  if (open.length > 0) return 'the narrative is not well-formed XHTML (txt-1)';
  return content ? undefined : 'the narrative has some content (txt-2)';
};
