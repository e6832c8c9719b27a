/** `type/subtype` and its parameters, in characters that a header field has. RFC 9110 section 8.3. */
const MEDIA_TYPE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+\/[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*(?:;[\t\x20-\x7e]*)?$/;

export const isMediaType = (text: string): boolean => MEDIA_TYPE.test(text);
