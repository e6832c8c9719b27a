/** W2, security.md D-01, D-03: a deposit is what it says it is, and does nothing when it is opened. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inflate } from '../../server/adapters/inflate.ts';
import { DEPOSIT_CONTENT, depositFault } from '../../server/app/types/deposit-content.ts';
import { fileOf, jpeg, objectStream, pdf, png, tiff, zip } from '../support/sample-files.ts';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const faultOf = (type: string, bytes: Buffer | string): string | undefined =>
  depositFault(type, typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes, inflate);

describe('what is accepted', () => {
  test.each(DEPOSIT_CONTENT)('%s, and as nothing else', (type) => {
    expect(faultOf(type, fileOf(type))).toBeUndefined();
    for (const other of DEPOSIT_CONTENT) if (other !== type) expect(faultOf(other, fileOf(type))).toMatch(/is not/);
  });

  test.each([
    ['a page to open at', pdf({ catalog: '/OpenAction [3 0 R /FitH null]' })],
    ['objects compressed together', pdf({ more: [objectStream('<< /Type /Font >>')] })],
    ['links', pdf({ more: ['5 0 obj\n<< /S /URI /URI (https://example.org) >>\nendobj\n'] })],
    ['an end with blanks', Buffer.concat([pdf(), latin1('\r\n\0')])],
  ])('a PDF with %s', (_name, bytes) => {
    expect(faultOf('application/pdf', bytes)).toBeUndefined();
  });

  test.each(['x', 'Mes mots à moi, 3 < 5 && a > b.\r\n\tFin', '\ufeffavec marque', 'PK et MZ sont des initiales'])(
    'the text %j',
    (text) => {
      expect(faultOf('text/plain', text)).toBeUndefined();
    },
  );

  test('a motion picture after a JPEG', () => {
    expect(faultOf('image/jpeg', Buffer.concat([jpeg(), latin1('\0\0\0 ftypmp42')]))).toBeUndefined();
  });

  test('noise after a signature is not taken for a script', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 50_000, maxLength: 50_000, size: 'max' }), (noise) => {
        expect(
          faultOf('application/pdf', pdf({ more: ['stream\n', Buffer.from(noise), '\nendstream\n'] })),
        ).toBeUndefined();
        expect(faultOf('image/jpeg', Buffer.concat([jpeg(), noise]))).toBeUndefined();
      }),
      { numRuns: 20 },
    );
  });
});

describe('what is refused', () => {
  test.each([
    ['SVG', '<svg xmlns="http://www.w3.org/2000/svg" onload="x"/>'],
    ['HTML', '  <!doctype html><p>x'],
    ['HTML without a head', '<p onclick="x">x</p>'],
    ['XML', '\ufeff<?xml version="1.0"?><a/>'],
    ['a script further on', 'bonjour <script src=x></script>'],
    ['a GIF that is a script', 'GIF89a/*x*/=1;alert(1)'],
    ['RTF', '{\\rtf1 x}'],
    ['NUL', 'a\0b'],
    ['UTF-16', Buffer.from('\ufeffabc', 'utf16le')],
    ['a PDF', pdf()],
  ])('%s as text/plain', (_name, bytes) => {
    expect(faultOf('text/plain', bytes)).toMatch(/plain text|markup/);
  });

  test.each([
    ['JavaScript', pdf({ more: ['5 0 obj\n<< /S /JavaScript /JS (app.alert(1)) >>\nendobj\n'] })],
    ['JavaScript, written with codes', pdf({ more: ['5 0 obj\n<< /S /J#61v#61Script /JS 6 0 R >>\nendobj\n'] })],
    ['names of scripts', pdf({ catalog: '/Names << /JavaScript 5 0 R >>' })],
    ['an opening action', pdf({ catalog: '/OpenAction 5 0 R' })],
    ['an opening action in place', pdf({ catalog: '/OpenAction<</S/GoTo>>' })],
    ['additional actions', pdf({ catalog: '/AA << /WC 5 0 R >>' })],
    ['a launch', pdf({ more: ['5 0 obj\n<< /S /Launch /F (cmd.exe) >>\nendobj\n'] })],
    ['a file inside', pdf({ catalog: '/Names << /EmbeddedFiles 5 0 R >>' })],
    ['a form that sends', pdf({ more: ['5 0 obj\n<< /S /SubmitForm >>\nendobj\n'] })],
    ['XFA', pdf({ catalog: '/AcroForm << /XFA [(a) 5 0 R] >>' })],
    ['a script in compressed objects', pdf({ more: [objectStream('<< /S /JavaScript >>')] })],
    [
      'a script in compressed objects behind others',
      pdf({
        more: [
          '7 0 obj\n<< /Type /ObjStm >>\nstream\n',
          objectStream('<< /Type /Font >>'),
          objectStream('<< /S /JavaScript >>'),
        ],
      }),
    ],
    ['encryption', pdf({ catalog: '/Encrypt 7 0 R' })],
    [
      'compressed objects of another kind',
      pdf({ more: [objectStream('<< >>', '/Filter [/ASCII85Decode /FlateDecode]')] }),
    ],
    [
      'compressed objects that are broken',
      pdf({ more: ['9 0 obj\n<</Type/ObjStm/Filter/FlateDecode>>\nstream\nxx\nendstream\n'] }),
    ],
    ['a bomb of compressed objects', pdf({ more: [objectStream(' '.repeat(20 * 1024 * 1024))] })],
  ])('a PDF with %s', (_name, bytes) => {
    expect(faultOf('application/pdf', bytes)).toMatch(/script, an action|encrypted|cannot be checked/);
  });

  test.each([
    ['a PDF that begins with a page', 'application/pdf', Buffer.concat([latin1('<html>'), pdf()]), /is not a PDF/],
    ['a PDF with a page inside', 'application/pdf', pdf({ more: ['%<script>x</script>\n'] }), /markup/],
    ['a PDF with an archive behind', 'application/pdf', Buffer.concat([pdf(), zip()]), /does not end/],
    ['a PDF with an archive inside', 'application/pdf', pdf({ more: [zip()] }), /archive/],
    ['a PNG with an archive behind', 'image/png', Buffer.concat([png(), zip()]), /does not end/],
    ['a JPEG with an archive behind', 'image/jpeg', Buffer.concat([jpeg(), zip()]), /archive/],
    ['a TIFF with an archive behind', 'image/tiff', Buffer.concat([tiff(), zip()]), /archive/],
    ['a JPEG with a page in its comment', 'image/jpeg', Buffer.concat([jpeg(), latin1('<ScRiPt >')]), /markup/],
    ['an executable', 'image/png', Buffer.concat([latin1('MZ'), Buffer.alloc(64)]), /is not a PNG/],
    ['nothing', 'application/pdf', Buffer.alloc(0), /is not a PDF/],
  ])('%s', (_name, type, bytes, text) => {
    expect(faultOf(type, bytes)).toMatch(text);
  });

  test('quickly, whatever five megabytes say', () => {
    for (const piece of [
      '/ObjStm ',
      'stream\n',
      '/AA ',
      '/OpenAction \0',
      '<',
      '#',
      '%%EOF\n',
      ' obj/ObjStm stream\nendstream\n',
    ]) {
      const bytes = pdf({ more: [piece.repeat(Math.ceil(5_000_000 / piece.length))] });
      const began = performance.now();
      faultOf('application/pdf', bytes);
      expect(performance.now() - began).toBeLessThan(5_000);
    }
  });
});
