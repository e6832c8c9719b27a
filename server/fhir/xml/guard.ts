/**
 * The one entry for XML (security.md P-01, P-02): nothing else in the server imports the parser. What comes out is a small tree of elements,
 * attributes and text; what could cost or fetch anything is refused while it is read, not after.
 *
 * No DTD, so no entities beyond the five of XML itself and no external ones; no processing instruction but the XML declaration; XML 1.0 in UTF-8;
 * bounded depth, elements and attributes. https://hl7.org/fhir/R4/xml.html, https://www.w3.org/TR/xml/
 */
import { SaxesParser, type SaxesTagNS } from 'saxes';
import { fail, malformed, ok, type Result } from '../result.ts';

export const FHIR_NAMESPACE = 'http://hl7.org/fhir';
export const XHTML_NAMESPACE = 'http://www.w3.org/1999/xhtml';
/** Of `xml:lang`; its prefix needs no declaration. */
export const XML_NAMESPACE = 'http://www.w3.org/XML/1998/namespace';

export type XmlAttribute = {
  readonly name: string;
  /** Empty for an attribute without a prefix. */
  readonly namespace: string;
  readonly value: string;
};

export type XmlElement = {
  /** The local name. */
  readonly name: string;
  readonly namespace: string;
  /** Without those that declare namespaces. */
  readonly attributes: readonly XmlAttribute[];
  /** Elements and text in their order; comments are dropped, CDATA is text. */
  readonly children: readonly (XmlElement | string)[];
  /** Whether a reader who knows only the element's own text would read the same: its namespace declared on it or on no prefix, no CDATA. */
  readonly plain: boolean;
  /** Offsets of the element in the text: from its `<` to after its last `>`. */
  readonly from: number;
  readonly to: number;
  /** The line that its start tag ends on, from 1. */
  readonly line: number;
};

export type XmlLimits = {
  /** The deepest nesting of elements; the root is 1. */
  readonly depth: number;
  /** Elements of the whole text. */
  readonly elements: number;
  /** Attributes of one element, declarations of namespaces included. */
  readonly attributes: number;
};

export const XML_LIMITS: XmlLimits = { depth: 100, elements: 100_000, attributes: 32 };

/** Characters that one step reads: a few milliseconds at most. */
const STEP = 16_384;

/** Carries a refusal out of the parser. */
class Refused extends Error {
  readonly result: Result<never>;
  constructor(result: Result<never>) {
    super('refused');
    this.result = result;
  }
}

const refuse = (text: string, line: number): never => {
  throw new Refused(malformed(`${text} at line ${line}`));
};

type Building = {
  -readonly [K in keyof XmlElement]: K extends 'children' ? (XmlElement | string)[] : XmlElement[K];
};

const XMLNS = 'http://www.w3.org/2000/xmlns/';

/** The attributes that are content. */
const attributesOf = (tag: SaxesTagNS): readonly XmlAttribute[] => {
  const found: XmlAttribute[] = [];
  for (const { local, uri, value } of Object.values(tag.attributes))
    if (uri !== XMLNS) found.push({ name: local, namespace: uri, value });
  return found;
};

/** Reads a further piece of a document; `undefined` while there is more. */
export type XmlStep = () => Result<XmlElement> | undefined;

/** Reads a whole XML document at once. */
export function readXml(text: string, limits: XmlLimits = XML_LIMITS): Result<XmlElement> {
  const step = stepsOfXml(text, limits);
  for (;;) {
    const read = step();
    if (read !== undefined) return read;
  }
}

/**
 * Reads an XML document step by step, so that a server can do something else in between. Fails with 400 naming the line, or 413 for too many
 * elements; never quotes what it read.
 */
export function stepsOfXml(text: string, limits: XmlLimits = XML_LIMITS): XmlStep {
  // Before anything is parsed: what a DTD can do begins with this word, wherever it stands.
  if (text.includes('<!DOCTYPE')) return () => malformed('a document type declaration is not accepted');
  const parser = new SaxesParser({ xmlns: true, position: true });
  const open: Building[] = [];
  let root: XmlElement | undefined;
  let elements = 0;
  let attributes = 0;
  let from = 0;

  parser.on('xmldecl', ({ version, encoding }) => {
    if (version !== '1.0') refuse('the XML version is 1.0', parser.line);
    if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8') refuse('the encoding is UTF-8', parser.line);
  });
  parser.on('doctype', () => refuse('a document type declaration is not accepted', parser.line));
  parser.on('processinginstruction', () => refuse('a processing instruction is not accepted', parser.line));
  parser.on('opentagstart', () => {
    elements += 1;
    attributes = 0;
    if (open.length >= limits.depth) refuse(`the XML is nested deeper than ${limits.depth} levels`, parser.line);
    if (elements > limits.elements)
      throw new Refused(fail({ code: 'too-large', text: `the XML has more than ${limits.elements} elements` }));
    // No name contains the mark that begins its tag.
    from = text.lastIndexOf('<', parser.position - 1);
  });
  parser.on('attribute', () => {
    attributes += 1;
    if (attributes > limits.attributes) refuse(`an element has more than ${limits.attributes} attributes`, parser.line);
  });
  parser.on('opentag', (tag) => {
    const parent = open.at(-1);
    const inherits = parent !== undefined && parent.namespace === tag.uri;
    const plain = tag.prefix === '' && (inherits || tag.ns[''] === tag.uri);
    const found = attributesOf(tag);
    open.push({
      name: tag.local,
      namespace: tag.uri,
      attributes: found,
      children: [],
      plain: plain && found.every((one) => one.namespace === '' || one.namespace === XML_NAMESPACE),
      from,
      to: 0,
      line: parser.line,
    });
  });
  parser.on('text', (piece) => {
    open.at(-1)?.children.push(piece);
  });
  parser.on('cdata', (piece) => {
    const parent = open.at(-1);
    parent?.children.push(piece);
    if (parent !== undefined) parent.plain = false;
  });
  parser.on('closetag', () => {
    const done = open.pop();
    if (done === undefined) return;
    done.to = parser.position;
    const parent = open.at(-1);
    if (parent === undefined) root = done;
    else {
      parent.children.push(done);
      parent.plain &&= done.plain;
    }
  });

  let at = 0;
  return () => {
    try {
      if (at < text.length) {
        parser.write(text.slice(at, at + STEP));
        at += STEP;
        return undefined;
      }
      parser.close();
    } catch (error) {
      if (error instanceof Refused) return error.result;
      // The parser's own message quotes the text; only the place is kept.
      return malformed(`the body is not well-formed XML at line ${parser.line} column ${parser.column + 1}`);
    }
    return root === undefined ? malformed('the body has no XML element') : ok(root);
  };
}
