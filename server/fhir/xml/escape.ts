/** Text as XML 1.0 takes it. https://www.w3.org/TR/xml/#charsets */

const MARKS: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
};

/** Characters that no XML 1.0 document may hold, not even by reference: they are shown as what replaces the unreadable. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these are excluded by the production Char.
const NO_CHARACTER = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above, and the characters that have a meaning.
const IN_ATTRIBUTE = /[\u0000-\u001f&<>"\ufffe\uffff]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above; line breaks and tabs are text.
const IN_TEXT = /[\u0000-\u0008\u000b-\u001f&<>\ufffe\uffff]/;

const marked = (text: string, marks: RegExp): string =>
  text.replace(NO_CHARACTER, '\ufffd').replace(marks, (mark) => MARKS[mark] ?? mark);

/** Between double quotes; line breaks and tabs survive the normalisation of attributes. */
export const escapedAttribute = (text: string): string =>
  IN_ATTRIBUTE.test(text) ? marked(text, /[&<>"\t\n\r]/g) : text;

/** Between tags. */
export const escapedText = (text: string): string => (IN_TEXT.test(text) ? marked(text, /[&<>\r]/g) : text);
