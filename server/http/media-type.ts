/** Media types and content negotiation. RFC 9110 sections 8.3 and 12.5.1; https://hl7.org/fhir/R4/http.html#mime-type. */

export type MediaType = {
  /** `type/subtype`, lower case. */
  readonly essence: string;
  /** Lower-case names; values unquoted. */
  readonly parameters: ReadonlyMap<string, string>;
};

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const ESSENCE = new RegExp(`^(${TOKEN}/${TOKEN})[ \\t]*(?:;|$)`);
const PARAMETER = new RegExp(`[ \\t]*(${TOKEN})=(?:(${TOKEN})|"((?:[^"\\\\]|\\\\.)*)")[ \\t]*(?:;|$)`, 'y');

/** Reads one media type; `undefined` when the text is not one. */
export function parseMediaType(text: string): MediaType | undefined {
  const source = text.trim();
  const [head, essence] = ESSENCE.exec(source) ?? [];
  if (head === undefined || essence === undefined) return undefined;
  const parameters = new Map<string, string>();
  for (let at = head.length; at < source.length; ) {
    PARAMETER.lastIndex = at;
    const found = PARAMETER.exec(source);
    if (found === null) return undefined;
    const [whole, name = '', plain, quoted = ''] = found;
    if (parameters.has(name.toLowerCase())) return undefined;
    parameters.set(name.toLowerCase(), plain ?? quoted.replace(/\\(.)/g, '$1'));
    at += whole.length;
  }
  return { essence: essence.toLowerCase(), parameters };
}

/** A FHIR media type may name its version; this server speaks R4 only. */
const speaksR4 = (type: MediaType): boolean => {
  const version = type.parameters.get('fhirversion');
  return version === undefined || version === '4.0' || version === '4.0.1';
};

/** Whether a body of this type is one this server reads: UTF-8, R4. */
export const isReadable = (type: MediaType): boolean => {
  const charset = type.parameters.get('charset')?.toLowerCase();
  return (charset === undefined || charset === 'utf-8' || charset === 'utf8') && speaksR4(type);
};

/** What JSON and XML are called in an answer. R4: a client that asks for a generic type SHOULD get that type back. */
export type JsonForm = 'application/fhir+json' | 'application/json' | 'text/json';
export type XmlForm = 'application/fhir+xml' | 'application/xml' | 'text/xml';
export type Form = JsonForm | XmlForm;

/** In the order of preference where a client has none. */
const FORMS: readonly Form[] = [
  'application/fhir+json',
  'application/json',
  'text/json',
  'application/fhir+xml',
  'application/xml',
  'text/xml',
];

const XML_FORMS: ReadonlySet<string> = new Set<XmlForm>(['application/fhir+xml', 'application/xml', 'text/xml']);

/** Whether a media type is one that FHIR XML goes by. */
export const isXml = (essence: string): essence is XmlForm => XML_FORMS.has(essence);

/** `_format` values; a `+` in a URL is a blank. */
const FORMATS: ReadonlyMap<string, Form> = new Map<string, Form>([
  ['json', 'application/fhir+json'],
  ['xml', 'application/fhir+xml'],
  ...FORMS.map((form) => [form, form] as const),
]);

/** The form that `_format` names, `undefined` when it names something else. */
export function formatOf(format: string): Form | undefined {
  const named = format.replace(/fhir (json|xml)/, 'fhir+$1');
  const type = parseMediaType(named);
  if (type !== undefined && !speaksR4(type)) return undefined;
  return FORMATS.get(type?.essence ?? named.trim().toLowerCase());
}

type Range = { readonly essence: string; readonly quality: number };

const rangeOf = (text: string): Range | undefined => {
  const type = parseMediaType(text);
  if (type === undefined || !speaksR4(type)) return undefined;
  const quality = Number(type.parameters.get('q') ?? '1');
  return { essence: type.essence, quality: quality >= 0 && quality <= 1 ? quality : 0 };
};

const rangesOf = (accept: string): readonly Range[] =>
  accept
    .split(',')
    .map(rangeOf)
    .filter((range) => range !== undefined);

/** The quality that the most specific matching range gives a form; 0 when none matches. */
const qualityOf = (ranges: readonly Range[], form: Form): number => {
  const family = `${form.slice(0, form.indexOf('/'))}/*`;
  for (const essence of [form, family, '*/*']) {
    const range = ranges.find((one) => one.essence === essence);
    if (range !== undefined) return range.quality;
  }
  return 0;
};

/** The form that `Accept` prefers, FHIR's own JSON first; `undefined` (406) when it takes none. */
export function acceptedForm(accept: string | undefined): Form | undefined {
  // What nearly every client sends is not worth parsing.
  if (accept === undefined || accept === '*/*' || accept === 'application/fhir+json') return 'application/fhir+json';
  if (accept.trim() === '') return 'application/fhir+json';
  const ranges = rangesOf(accept);
  let best: Form | undefined;
  let quality = 0;
  for (const form of FORMS) {
    const found = qualityOf(ranges, form);
    if (found > quality) {
      best = form;
      quality = found;
    }
  }
  return best;
}
