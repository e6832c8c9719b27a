/** The XHTML of a narrative between its two homes: an element in XML, a text in JSON. https://hl7.org/fhir/R4/narrative.html */
import { malformed, ok, type Result } from '../result.ts';
import { escapedAttribute, escapedText } from './escape.ts';
import { readXml, XHTML_NAMESPACE, XML_NAMESPACE, type XmlElement } from './guard.ts';

/** The element written anew, in the default namespace: whatever prefixes and CDATA it came with. */
function rewritten(element: XmlElement, at: string, isRoot: boolean): Result<string> {
  if (element.namespace !== XHTML_NAMESPACE)
    return malformed(`an element of a narrative is in the namespace \`${XHTML_NAMESPACE}\``, at);
  const parts = [`<${element.name}`];
  if (isRoot) parts.push(` xmlns="${XHTML_NAMESPACE}"`);
  for (const { name, namespace, value } of element.attributes) {
    if (namespace !== '' && namespace !== XML_NAMESPACE)
      return malformed('an attribute of a narrative is of no other namespace', at);
    parts.push(` ${namespace === '' ? '' : 'xml:'}${name}="${escapedAttribute(value)}"`);
  }
  if (element.children.length === 0) parts.push('/>');
  else {
    parts.push('>');
    for (const child of element.children) {
      const text = typeof child === 'string' ? ok(escapedText(child)) : rewritten(child, at, false);
      if (!text.ok) return text;
      parts.push(text.value);
    }
    parts.push(`</${element.name}>`);
  }
  return ok(parts.join(''));
}

/** Whether every element is XHTML. */
const isXhtml = (element: XmlElement): boolean =>
  element.namespace === XHTML_NAMESPACE &&
  element.children.every((child) => typeof child === 'string' || isXhtml(child));

/** The text that JSON has for a `div`: the sender's own characters where they mean the same by themselves. What they say is judged where JSON's is. */
export const xhtmlText = (element: XmlElement, source: string, at: string): Result<string> =>
  element.plain && isXhtml(element)
    ? ok(source.slice(element.from, element.to).replaceAll('\r\n', '\n'))
    : rewritten(element, at, true);

/**
 * The XML of a `div` that JSON has. Whatever is not one well-formed XHTML element is shown as the text that it is: a narrative never breaks, or becomes
 * part of, the document around it.
 */
export function xhtmlElement(div: string): string {
  const text = div.trim();
  const read = readXml(text);
  if (read.ok && !text.startsWith('<?') && read.value.name === 'div' && isXhtml(read.value))
    return text.replaceAll('\r', '&#13;');
  return `<div xmlns="${XHTML_NAMESPACE}">${escapedText(div)}</div>`;
}
