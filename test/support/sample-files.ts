/** Small files of the five types that a holder deposits, made here byte by byte. */
import { deflateSync } from 'node:zlib';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

/** A PDF of one empty page; `more` are further objects, `catalog` further entries of the catalogue. */
export const pdf = ({
  catalog = '',
  more = [],
}: {
  catalog?: string;
  more?: readonly (string | Buffer)[];
} = {}): Buffer =>
  Buffer.concat([
    latin1(`%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R ${catalog} >>\nendobj\n`),
    latin1('2 0 obj\n<< /Type /Pages /Kids [3 0 R] /Count 1 >>\nendobj\n'),
    latin1('3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>\nendobj\n'),
    ...more.map((piece) => (typeof piece === 'string' ? latin1(piece) : piece)),
    latin1('trailer\n<< /Root 1 0 R /Size 4 >>\nstartxref\n9\n%%EOF\n'),
  ]);

/** Objects compressed together, as PDF 1.5 and later does. */
export const objectStream = (objects: string, dictionary = '/Filter /FlateDecode'): Buffer =>
  Buffer.concat([
    latin1(`9 0 obj\n<< /Type /ObjStm /N 1 /First 4 ${dictionary} /Length 99 >>\nstream\n`),
    deflateSync(latin1(`8 0 ${objects}`)),
    latin1('\nendstream\nendobj\n'),
  ]);

export const png = (): Buffer =>
  Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==',
    'base64',
  );

export const jpeg = (): Buffer =>
  Buffer.concat([
    Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16]),
    latin1('JFIF\0'),
    Buffer.alloc(64, 7),
    Buffer.from([0xff, 0xd9]),
  ]);

export const tiff = (): Buffer => Buffer.concat([latin1('II*\0'), Buffer.from([8, 0, 0, 0, 0, 0, 0, 0, 0, 0])]);

/** An empty ZIP archive: its directory's end alone. */
export const zip = (): Buffer => Buffer.concat([latin1('PK\u0005\u0006'), Buffer.alloc(18)]);

const MAKERS: Readonly<Record<string, () => Buffer>> = {
  'application/pdf': () => pdf(),
  'image/png': png,
  'image/jpeg': jpeg,
  'image/tiff': tiff,
};

/** Bytes that are what `contentType` says; a text for what is none of the four. */
export const fileOf = (contentType: string): Buffer =>
  MAKERS[contentType.split(';')[0]?.trim().toLowerCase() ?? '']?.() ?? latin1('synthetic content');
