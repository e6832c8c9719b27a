/**
 * Folding of text for string search: "case and accent insensitive … punctuation and non-significant whitespace SHOULD
 * also be ignored". https://hl7.org/fhir/R4/search.html#string
 */

/** Letters that Unicode does not decompose, and that people type as two (or as the bare letter). */
const LETTERS: Readonly<Record<string, string>> = {
  œ: 'oe',
  æ: 'ae',
  ß: 'ss',
  ø: 'o',
  đ: 'd',
  ð: 'd',
  ħ: 'h',
  ı: 'i',
  ł: 'l',
  ŋ: 'n',
  þ: 'th',
  ŧ: 't',
};
const SPECIAL = /[œæßøđðħıłŋþŧ]/g;
const PLAIN = /^[a-z0-9]*$/;

/**
 * Lower case, without accents, with every run of punctuation and white space as one space and none at the ends:
 * `D’ARC-Lefèvre` → `d arc lefevre`. Letters and digits of every script stay. Folding twice changes nothing.
 */
export function fold(text: string): string {
  if (PLAIN.test(text)) return text;
  // Compatibility decomposition after the case: `İ`, `ﬁ` and full-width letters come out as the plain ones.
  return text
    .normalize('NFKD')
    .toLowerCase()
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .replace(SPECIAL, (letter) => LETTERS[letter] ?? letter)
    .replace(/[\p{P}\p{Z}\p{C}\p{Sk}]+/gu, ' ')
    .trim();
}
