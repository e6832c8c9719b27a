import { describe, expect, it } from 'vitest';
import { narrativeFault } from '../../../server/adapters/validator/narrative.ts';

const NS = 'xmlns="http://www.w3.org/1999/xhtml"';
const div = (inner: string): string => `<div ${NS}>${inner}</div>`;

describe('narratives', () => {
  it.each([
    div('text'),
    `\n${div('<p class="a">x &amp; y<br/><b>z</b></p><table><tr><td colspan="2">1</td></tr></table>')}\n`,
    div('<a href="https://example.org/x?a=b">x</a> <a href="#top">y</a> <a href="Patient/1">z</a>'),
    div('<img src="data:image/png;base64,AAAA"/>'),
    div('<!-- a comment -->x'),
    `<div ${NS} xml:lang="fr" lang="fr">x</div>`,
  ])('accepts %s', (text) => {
    expect(narrativeFault(text)).toBeUndefined();
  });

  it.each([
    ['a script', div('<script>alert(1)</script>')],
    ['a form', div('<form><input/></form>')],
    ['an event attribute', div('<b onmouseover="x()">a</b>')],
    ['javascript:', div('<a href="javascript:x()">a</a>')],
    ['javascript: in capitals and spaces', div('<a href="  JaVaScript:x()">a</a>')],
    ['javascript: by character references', div('<a href="&#106;avascript:x()">a</a>')],
    ['a data document', div('<a href="data:text/html,x">a</a>')],
    ['an svg', div('<svg><g/></svg>')],
    ['an iframe', div('<iframe src="https://example.org"></iframe>')],
    ['an unquoted attribute', div('<b class=a>x</b>')],
    ['an unclosed element', `<div ${NS}><p>x</div>`],
    ['nothing closed', `<div ${NS}>x`],
    ['a doctype', `<!DOCTYPE div><div ${NS}>x</div>`],
    ['a CDATA section', div('<![CDATA[x]]>')],
    ['a processing instruction', div('<?x y?>x')],
    ['two roots', `${div('x')}${div('y')}`],
    ['text around the root', `x${div('y')}`],
    ['text after the root', `${div('y')}x`],
    ['another root', `<p ${NS}>x</p>`],
    ['no namespace', '<div>x</div>'],
    ['no content', div('  <br/> ')],
    ['no text', ''],
    ['a depth of 300', div(`${'<b>'.repeat(300)}x${'</b>'.repeat(300)}`)],
  ])('refuses %s', (_, text) => {
    expect(narrativeFault(text)).toMatch(/txt-[12]/);
  });
});
