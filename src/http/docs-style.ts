/** The style of /docs: light or dark as the reader's system is, one column on a phone. */
export const docsStyle = `
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --soft: #5b6470; --line: #dfe3e8; --shade: #f4f6f8; --link: #0b57d0;
  --get: #0b6bcb; --post: #1a7f4b; --delete: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e6ea; --paper: #14171b; --soft: #9aa4b1; --line: #2d333b; --shade: #1d2127;
  --link: #8ab4f8; --get: #7ab7ff; --post: #6fd39b; --delete: #ff8a80; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
nav { padding: 1rem; font-size: .9rem; }
nav summary { cursor: pointer; padding: .3rem 0; font-weight: 600; }
nav ul { margin: 0; padding: 0 0 .5rem .5rem; list-style: none; }
nav li { padding: .2rem 0; overflow-wrap: anywhere; }
main { padding: 1rem; max-width: 60rem; min-width: 0; }
h1, h2, h3, h4 { line-height: 1.25; margin: 2.2rem 0 .6rem; overflow-wrap: anywhere; }
h1 { margin-top: 0; }
h2 { border-top: 1px solid var(--line); padding-top: 1.5rem; }
h4 { font-size: .95rem; margin: 1.2rem 0 .4rem; }
code, pre { font: .88em/1.5 ui-monospace, monospace; }
code { background: var(--shade); border-radius: 3px; padding: .1em .25em; overflow-wrap: anywhere; }
pre { background: var(--shade); border: 1px solid var(--line); border-radius: 6px; padding: .8rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem .4rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
.fields td:first-child { width: 34%; }
.fields td:nth-child(2) { width: 26%; }
.answers td:first-child { width: 3.5rem; }
.answers td:nth-child(2) { width: 30%; }
.prefix, i, .variant { color: var(--soft); }
i { font-size: .85em; }
.d1 td:first-child { padding-left: .8rem; } .d2 td:first-child { padding-left: 1.6rem; }
.d3 td:first-child { padding-left: 2.4rem; } .d4 td:first-child { padding-left: 3.2rem; } .d5 td:first-child { padding-left: 4rem; }
.m { font: 600 .8em ui-monospace, monospace; }
.get { color: var(--get); } .post { color: var(--post); } .delete { color: var(--delete); }
p { overflow-wrap: anywhere; }
h3 code { background: none; padding: 0; font-size: .95em; }
.here { color: var(--soft); font-weight: 400; }
@media (min-width: 64rem) {
  body { display: grid; grid-template-columns: 19rem minmax(0, 1fr); }
  nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; border-right: 1px solid var(--line); }
  main { padding: 1.5rem 3rem 6rem; }
}
@media (max-width: 40rem) {
  thead { display: none; }
  tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  td, td:first-child, .fields td:first-child, .fields td:nth-child(2), .answers td:first-child, .answers td:nth-child(2) { display: block; width: auto; border: 0; padding-top: .1rem; padding-bottom: .1rem; }
  td[data-name]::before { content: attr(data-name) ': '; color: var(--soft); }
}
`
